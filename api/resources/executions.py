"""Executions: submit a cluster, read its execution, list executions, cancel and retry them."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from flask import Response, jsonify, request, url_for
from marshmallow import Schema, fields, post_load, validate

from api import cluster_loader, documents, pages, request_body
from api.blueprint import Blueprint
from api.cluster_document import REQUEST_BODY
from api.pages import PageQuery
from api.presenter import Presenter
from api.resources.satellites import Member, present_light_member, present_member
from api.schemas import LONGEST_NAME, NO_CONTROL_CHARACTERS, one_of
from api.services import Services, current_services
from state_manager import progress, submission
from state_manager.cluster import SLAS
from state_manager.errors import Conflict, NotFound
from state_manager.states import ExecutionStatus, SatelliteStatus
from state_manager.store import executions
from state_manager.store.executions import Filter

if TYPE_CHECKING:
    from collections.abc import Mapping
    from uuid import UUID

    from state_manager.store.executions import Snapshot

blueprint = Blueprint("executions", __name__, url_prefix="/executions", description="Submitted clusters")


class Progress(Schema):
    """The progress of an execution."""

    total_satellites = fields.Integer(attribute="total")
    completed_satellites = fields.Integer(attribute="completed")
    failed_satellites = fields.Integer(attribute="failed")
    skipped_satellites = fields.Integer(attribute="skipped")
    cancelled_satellites = fields.Integer(attribute="cancelled")
    percent = fields.Float(metadata={"description": "Satellites that have ended, 0 to 100"})


class ListedExecution(Schema):
    """An execution without its satellites."""

    execution_id = fields.UUID(attribute="id")
    cluster_id = fields.String(metadata={"description": "The `identifier` of the submitted cluster"})
    project = fields.String()
    status = one_of(ExecutionStatus)
    created_at = fields.DateTime()
    updated_at = fields.DateTime()
    started_at = fields.DateTime(allow_none=True)
    finished_at = fields.DateTime(allow_none=True)
    sla = one_of(SLAS)
    deadline = fields.DateTime()
    timeout = fields.Float(
        attribute="timeout_s", metadata={"description": "Seconds from its start, after which it fails"}
    )
    error = fields.String(allow_none=True, metadata={"description": "Why it failed, where no satellite says so"})
    progress = fields.Nested(Progress)
    seq = fields.Integer(metadata={"description": "Of its last event"})


class Execution(ListedExecution):
    """An execution in full."""

    title = fields.String()
    description = fields.String()
    satellites = fields.List(fields.Nested(Member))
    dependencies = fields.Dict(keys=fields.UUID(), values=fields.List(fields.UUID()))
    results = fields.Dict(metadata={"description": "Outputs by name of the satellites that nothing depends on"})
    output_omitted = fields.Boolean(
        metadata={"description": "Outputs are left out once they are 1 MiB together; each satellite has its own"}
    )


class Executions(Schema):
    """A page of executions, newest first."""

    items = fields.List(fields.Nested(ListedExecution))
    next_cursor = fields.String(allow_none=True)


class ExecutionsQuery(PageQuery):
    """The executions to list."""

    project = fields.String(validate=NO_CONTROL_CHARACTERS)
    cluster_id = fields.String(validate=NO_CONTROL_CHARACTERS)
    status = fields.Enum(ExecutionStatus, by_value=True)
    created_after = fields.AwareDateTime(format="iso", default_timezone=UTC)
    created_before = fields.AwareDateTime(format="iso", default_timezone=UTC)
    cursor = fields.UUID(metadata={"description": "The `next_cursor` of the page before"})

    @post_load
    def make(self, data: Mapping[str, Any], **_: Any) -> Filter:
        """Return it as the store takes it."""
        return Filter(**data)


class IdempotencyHeader(Schema):
    """The key under which a submission counts once."""

    key = fields.String(
        data_key="Idempotency-Key", validate=[validate.Length(1, 2 * LONGEST_NAME - 1), NO_CONTROL_CHARACTERS]
    )


present_progress = Presenter(Progress, percent=lambda row: progress.Progress.of(row).percent)
present_listed = Presenter(ListedExecution, progress=present_progress)


def present(snapshot: Snapshot) -> dict[str, Any]:
    """Make the response of an execution in full; its outputs are left out where the snapshot has none."""
    members, definition = snapshot.satellites, snapshot.execution.definition or {}
    return {
        **present_listed(snapshot.execution),
        **{name: definition[name] for name in ("title", "description") if name in definition},
        "satellites": (present_light_member if snapshot.outputs_omitted else present_member).all(members),
        "dependencies": {str(one.id): [str(needed) for needed in one.dependencies] for one in members},
        "results": {} if snapshot.outputs_omitted else _results(snapshot),
        "output_omitted": snapshot.outputs_omitted,
    }


@blueprint.operation(
    "POST",
    "",
    Execution,
    status=HTTPStatus.CREATED,
    headers=IdempotencyHeader,
    also=(HTTPStatus.OK,),
    errors=(
        HTTPStatus.BAD_REQUEST,
        HTTPStatus.REQUEST_TIMEOUT,
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
    services = current_services()
    allowed_bytes = services.settings.max_body_bytes
    document = documents.parse(request_body.read(allowed_bytes), request.mimetype, allowed_bytes)
    cluster, types = cluster_loader.load(services.validator, document)
    submitted = submission.submit(
        services.engine,
        cluster,
        types,
        document,
        idempotency_key=headers.get("key"),
        max_concurrent=services.settings.max_concurrent_executions,
        defaults=services.defaults,
        keys=services.keys,
    )
    snapshot = submitted.snapshot or _snapshot(services, submitted.execution_id)
    if submitted.created and snapshot.execution.status == ExecutionStatus.RUNNING:
        services.dispatcher.dispatch_new(submitted.execution_id, submitted.nodes)
    response = jsonify(present(snapshot))
    response.status_code = HTTPStatus.CREATED if submitted.created else HTTPStatus.OK
    response.location = url_for("executions.get", execution_id=submitted.execution_id)
    return response


@blueprint.operation("GET", "/<uuid:execution_id>", Execution, errors=(HTTPStatus.NOT_FOUND,))
def get(execution_id: UUID) -> Response:
    """Read an execution and its satellites."""
    return jsonify(present(_snapshot(current_services(), execution_id)))


@blueprint.operation(
    "DELETE",
    "/<uuid:execution_id>",
    Execution,
    status=HTTPStatus.ACCEPTED,
    errors=(HTTPStatus.NOT_FOUND, HTTPStatus.CONFLICT),
)
def cancel(execution_id: UUID) -> tuple[Response, int]:
    """Cancel an execution: nothing of it starts any more, and what runs is interrupted.

    Asked again, the answer is the same; 409 where it had ended by itself.
    """
    services = current_services()
    stopped = services.lifecycle.stop(execution_id, ExecutionStatus.CANCELLED)
    if not stopped.stopped and stopped.previous not in {None, ExecutionStatus.CANCELLED}:
        raise Conflict(f"execution {execution_id} is {stopped.previous}: there is nothing left to cancel")
    return jsonify(present(_snapshot(services, execution_id))), HTTPStatus.ACCEPTED


@blueprint.operation(
    "POST",
    "/<uuid:execution_id>/retry",
    Execution,
    status=HTTPStatus.ACCEPTED,
    errors=(HTTPStatus.NOT_FOUND, HTTPStatus.CONFLICT),
)
def retry(execution_id: UUID) -> tuple[Response, int]:
    """Resume a failed execution from where it failed; what is done stays done."""
    services = current_services()
    snapshot = _snapshot(services, execution_id)
    if snapshot.execution.status != ExecutionStatus.FAILED or not services.lifecycle.retry(execution_id).revived:
        raise Conflict(f"execution {execution_id} is {snapshot.execution.status}, not failed")
    return jsonify(present(_snapshot(services, execution_id))), HTTPStatus.ACCEPTED


@blueprint.operation("GET", "", Executions, query=ExecutionsQuery)
def find(wanted: Filter) -> Response:
    """List executions, newest first."""
    rows = executions.find(current_services().engine, replace(wanted, limit=wanted.limit + 1))
    page, last = pages.cut(rows, wanted.limit)
    return jsonify(items=present_listed.all(page), next_cursor=last and str(last.id))


def _snapshot(services: Services, execution_id: UUID) -> Snapshot:
    snapshot = executions.get(services.engine, execution_id)
    if snapshot is None:
        raise NotFound(f"there is no execution {execution_id}")
    return snapshot


def _results(snapshot: Snapshot) -> dict[str, Any]:
    """Collect the outputs of the satellites that nothing depends on."""
    return {
        one.name: one.output
        for one in snapshot.satellites
        if not one.dependents and one.parent is None and one.status == SatelliteStatus.COMPLETED
    }
