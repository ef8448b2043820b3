"""Executions: submit a cluster, look at what became of it, list them, read their events."""

from __future__ import annotations

import logging
from dataclasses import replace
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from flask import Response, jsonify, request, url_for
from kombu.exceptions import OperationalError as BrokerDown
from redis.exceptions import RedisError
from werkzeug.exceptions import RequestEntityTooLarge

from api import answers, documents, presentation, submissions
from api.examples import REQUEST_BODY
from api.resource import Resource
from api.schemas import EventsQuery, ExecutionsQuery, IdempotencyHeader
from api.services import Services, services
from state_manager import submission
from state_manager.errors import NotFound
from state_manager.states import ExecutionStatus
from state_manager.store import events, executions
from workers import dispatch

if TYPE_CHECKING:
    from collections.abc import Mapping
    from uuid import UUID

    from state_manager.store.executions import Filter, Snapshot
    from state_manager.store.satellites import Node

logger = logging.getLogger(__name__)
blueprint = Resource("executions", __name__, url_prefix="/executions", description="Submitted clusters")

DISPATCH_WITHIN_S = 0.5
"""A client waits no longer for the broker; what was not sent by then is ready in PostgreSQL all the same."""


@blueprint.operation(
    "POST",
    "",
    answers.Execution,
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
    cluster = submissions.load(here.engine, document, here.limits)
    submitted = submission.submit(
        here.engine,
        cluster,
        document,
        idempotency_key=headers.get("key"),
        limits=here.limits,
        max_concurrent=here.settings.max_concurrent_executions,
    )
    snapshot = _snapshot(here, submitted.execution_id)
    if submitted.created and snapshot.execution["status"] == ExecutionStatus.RUNNING:
        _dispatch(here, submitted.execution_id, submitted.nodes)
    response = jsonify(presentation.execution(snapshot))
    response.status_code = HTTPStatus.CREATED if submitted.created else HTTPStatus.OK
    response.location = url_for("executions.get", execution_id=submitted.execution_id)
    return response


@blueprint.operation("GET", "/<uuid:execution_id>", answers.Execution, errors=(HTTPStatus.NOT_FOUND,))
def get(execution_id: UUID) -> Response:
    """Look at an execution and its satellites."""
    return jsonify(presentation.execution(_snapshot(services(), execution_id)))


@blueprint.operation("GET", "", answers.Executions, query=ExecutionsQuery)
def find(wanted: Filter) -> Response:
    """List executions, newest first."""
    rows = executions.find(services().engine, replace(wanted, limit=wanted.limit + 1))
    page = rows[: wanted.limit]
    return jsonify(
        items=[presentation.listed_execution(row) for row in page],
        next_cursor=str(page[-1]["id"]) if len(rows) > wanted.limit else None,
    )


@blueprint.operation(
    "GET", "/<uuid:execution_id>/events", answers.Events, query=EventsQuery, errors=(HTTPStatus.NOT_FOUND,)
)
def list_events(query: Mapping[str, Any], execution_id: UUID) -> Response:
    """Read an execution's events, oldest first."""
    after, limit = query["after"], query["limit"]
    rows = events.read(services().engine, execution_id, after=after, limit=limit + 1)
    if rows is None:
        raise NotFound(f"there is no execution {execution_id}")
    page = rows[:limit]
    return jsonify(
        items=[presentation.event(row) for row in page],
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


def _dispatch(here: Services, execution_id: UUID, nodes: Mapping[UUID, Node]) -> None:
    """Send what the execution begins with; a broker that is away delays it, and loses nothing."""
    try:
        here.broker.call(DISPATCH_WITHIN_S, lambda: dispatch.start(execution_id, nodes))
    except (BrokerDown, RedisError, TimeoutError) as error:
        logger.warning("execution %s is not dispatched yet, the broker is away: %s", execution_id, error)
    except Exception:
        # The submission is committed: whatever went wrong here, an error would tell its client the contrary.
        logger.exception("execution %s is not dispatched yet", execution_id)
