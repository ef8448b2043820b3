"""Executions: submit a cluster, look at what became of it, list them, read their events."""

from __future__ import annotations

from dataclasses import replace
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from flask import Response, jsonify, request, url_for
from werkzeug.exceptions import RequestEntityTooLarge

from api import documents, responses, serialisers, submissions
from api.examples import REQUEST_BODY
from api.resource import Resource
from api.schemas import EventsQuery, ExecutionsQuery, IdempotencyHeader
from api.services import Services, services
from state_manager import submission
from state_manager.errors import Conflict, NotFound
from state_manager.states import ExecutionStatus
from state_manager.store import events, executions

if TYPE_CHECKING:
    from collections.abc import Mapping
    from uuid import UUID

    from state_manager.store.executions import Filter, Snapshot

blueprint = Resource("executions", __name__, url_prefix="/executions", description="Submitted clusters")


@blueprint.operation(
    "POST",
    "",
    responses.Execution,
    status=HTTPStatus.CREATED,
    headers=IdempotencyHeader,
    also=(HTTPStatus.OK,),
    errors=(
        HTTPStatus.BAD_REQUEST,
        HTTPStatus.CONFLICT,
        HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
        HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
        HTTPStatus.SERVICE_UNAVAILABLE,
    ),
    requestBody=REQUEST_BODY,
)
def submit(headers: Mapping[str, str]) -> Response:
    """Submit a cluster for execution.

    The answer is 201 and the execution, `running` or, above MAX_CONCURRENT_EXECUTIONS, `pending`;
    200 and the execution that there is, where the same Idempotency-Key came with the same document before.
    """
    here = services()
    document = documents.read(_body(here), request.mimetype, here.settings.max_body_bytes)
    cluster = submissions.load(here.satellite_types, document, here.limits)
    submitted = submission.submit(
        here.engine,
        here.satellite_types,
        cluster,
        document,
        idempotency_key=headers.get("key"),
        limits=here.limits,
        max_concurrent=here.settings.max_concurrent_executions,
        defaults=here.defaults,
    )
    snapshot = submitted.snapshot or _snapshot(here, submitted.execution_id)
    if submitted.created and snapshot.execution["status"] == ExecutionStatus.RUNNING:
        here.dispatcher.dispatch_new(submitted.execution_id, submitted.nodes)
    response = jsonify(serialisers.execution(snapshot))
    response.status_code = HTTPStatus.CREATED if submitted.created else HTTPStatus.OK
    response.location = url_for("executions.get", execution_id=submitted.execution_id)
    return response


@blueprint.operation("GET", "/<uuid:execution_id>", responses.Execution, errors=(HTTPStatus.NOT_FOUND,))
def get(execution_id: UUID) -> Response:
    """Look at an execution and its satellites."""
    return jsonify(serialisers.execution(_snapshot(services(), execution_id)))


@blueprint.operation(
    "DELETE",
    "/<uuid:execution_id>",
    responses.Execution,
    status=HTTPStatus.ACCEPTED,
    errors=(HTTPStatus.NOT_FOUND, HTTPStatus.CONFLICT),
)
def cancel(execution_id: UUID) -> tuple[Response, int]:
    """Cancel an execution: nothing of it starts any more, and what runs is interrupted.

    Asked again, the answer is the same; 409 where it had ended by itself.
    """
    here = services()
    stopped = here.lifecycle.stop(execution_id, ExecutionStatus.CANCELLED)
    if not stopped.stopped and stopped.previous not in {None, ExecutionStatus.CANCELLED}:
        raise Conflict(f"execution {execution_id} is {stopped.previous}: there is nothing left to cancel")
    return jsonify(serialisers.execution(_snapshot(here, execution_id))), HTTPStatus.ACCEPTED


@blueprint.operation(
    "POST",
    "/<uuid:execution_id>/retry",
    responses.Execution,
    status=HTTPStatus.ACCEPTED,
    errors=(HTTPStatus.NOT_FOUND, HTTPStatus.CONFLICT),
)
def retry(execution_id: UUID) -> tuple[Response, int]:
    """Resume a failed execution from where it failed; what is done stays done."""
    here = services()
    snapshot = _snapshot(here, execution_id)
    if snapshot.execution["status"] != ExecutionStatus.FAILED or not here.lifecycle.retry(execution_id).revived:
        raise Conflict(f"execution {execution_id} is {snapshot.execution['status']}, not failed")
    return jsonify(serialisers.execution(_snapshot(here, execution_id))), HTTPStatus.ACCEPTED


@blueprint.operation("GET", "", responses.Executions, query=ExecutionsQuery)
def find(wanted: Filter) -> Response:
    """List executions, newest first."""
    rows = executions.find(services().engine, replace(wanted, limit=wanted.limit + 1))
    page = rows[: wanted.limit]
    return jsonify(
        items=[serialisers.listed_execution(row) for row in page],
        next_cursor=str(page[-1]["id"]) if len(rows) > wanted.limit else None,
    )


@blueprint.operation(
    "GET", "/<uuid:execution_id>/events", responses.Events, query=EventsQuery, errors=(HTTPStatus.NOT_FOUND,)
)
def list_events(query: Mapping[str, Any], execution_id: UUID) -> Response:
    """Read an execution's events, oldest first."""
    after, limit = query["after"], query["limit"]
    rows = events.read(services().engine, execution_id, after=after, limit=limit + 1)
    if rows is None:
        raise NotFound(f"there is no execution {execution_id}")
    page = rows[:limit]
    return jsonify(
        items=[serialisers.event(row) for row in page],
        next_after=page[-1]["seq"] if len(rows) > limit else None,
    )


def _body(here: Services) -> bytes:
    allowed = here.settings.max_body_bytes
    # Werkzeug cuts a body without Content-Length off at its limit and says nothing: so look one byte further.
    request.max_content_length = allowed + 1
    body = request.get_data()
    if len(body) > allowed:
        raise RequestEntityTooLarge(f"a body has at most {allowed} bytes (MAX_BODY_BYTES)")
    return body


def _snapshot(here: Services, execution_id: UUID) -> Snapshot:
    snapshot = executions.get(here.engine, execution_id)
    if snapshot is None:
        raise NotFound(f"there is no execution {execution_id}")
    return snapshot
