"""Satellites: read one, and retry it."""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from flask import Response, jsonify
from marshmallow import Schema, fields

from api.blueprint import Blueprint
from api.presenter import Presenter
from api.schemas import one_of
from api.services import current_services
from state_manager.errors import Conflict, NotFound
from state_manager.expansion import names_in_scope
from state_manager.states import SatelliteStatus, SkipReason
from state_manager.store import satellites

if TYPE_CHECKING:
    from uuid import UUID

blueprint = Blueprint("satellites", __name__, url_prefix="/satellites", description="Units of work of an execution")


class Member(Schema):
    """A satellite as part of its execution."""

    satellite_id = fields.UUID(attribute="id")
    name = fields.String()
    identifier = fields.String()
    status = one_of(SatelliteStatus)
    reason = one_of(SkipReason, nullable=True)
    start_time = fields.DateTime(allow_none=True)
    end_time = fields.DateTime(allow_none=True)
    duration_ms = fields.Float(allow_none=True)
    output = fields.Raw(allow_none=True, metadata={"description": "Absent where `output_omitted`"})
    error = fields.String(allow_none=True)
    error_kind = fields.String(allow_none=True)
    parent = fields.UUID(
        allow_none=True, metadata={"description": "The satellite whose `for_each` or group has made it"}
    )
    index = fields.Integer(allow_none=True, metadata={"description": "Its item's place in the list of `for_each`"})
    attempt = fields.Integer(metadata={"description": "Attempts begun, 0 before the first"})
    retries = fields.Integer(metadata={"description": "Attempts after the first"})


class ResourceUsage(Schema):
    """The resources that an attempt used."""

    cpu_time = fields.Float(metadata={"description": "Seconds"})
    memory_peak = fields.Integer(metadata={"description": "Bytes"})
    gpu_time = fields.Float(allow_none=True, metadata={"description": "Seconds; null without a GPU"})


class Satellite(Member):
    """A satellite in full."""

    execution_id = fields.UUID()
    config = fields.Dict()
    input = fields.Dict(metadata={"description": "Outputs of the dependencies by name, under its own submitted input"})
    input_omitted = fields.Boolean(
        metadata={"description": "Whether the outputs of the dependencies are too large together to be part of `input`"}
    )
    item = fields.Raw(allow_none=True, metadata={"description": "Its item of `for_each`"})
    traceback = fields.String(allow_none=True)
    queue = fields.String()
    run_when = fields.String()
    timeout = fields.Float(
        attribute="timeout_s", allow_none=True, metadata={"description": "Seconds that an attempt may take"}
    )
    max_attempts = fields.Integer(metadata={"description": "Raised by a retry from outside"})
    retry_policy = fields.Dict()
    not_before = fields.DateTime(allow_none=True, metadata={"description": "When the next attempt is due"})
    resource_usage = fields.Nested(ResourceUsage, allow_none=True)
    dependencies = fields.List(fields.UUID())


def _retries(satellite: satellites.Member | satellites.Satellite) -> int:
    return max(satellite.attempt - 1, 0)


def _input(satellite: satellites.Satellite) -> dict[str, Any]:
    outputs = satellite.dependency_outputs or {}
    if satellite.dynamic is not None:
        outputs = names_in_scope(outputs, satellite.dynamic)
    return {**outputs, **satellite.input}


present_member = Presenter(Member, retries=_retries)
present_light_member = Presenter(Member, without={"output"}, retries=_retries)
present = Presenter(Satellite, retries=_retries, input=_input)


@blueprint.operation("GET", "/<uuid:satellite_id>", Satellite, errors=(HTTPStatus.NOT_FOUND,))
def get(satellite_id: UUID) -> Response:
    """Read a satellite."""
    return jsonify(present(read(satellite_id)))


@blueprint.operation(
    "POST",
    "/<uuid:satellite_id>/retry",
    Satellite,
    status=HTTPStatus.ACCEPTED,
    errors=(HTTPStatus.NOT_FOUND, HTTPStatus.CONFLICT),
)
def retry(satellite_id: UUID) -> tuple[Response, int]:
    """Retry a failed satellite, and what was skipped because of it alone; also while its execution runs."""
    found = read(satellite_id)
    lifecycle = current_services().lifecycle
    if found.status != SatelliteStatus.FAILED or not lifecycle.retry(found.execution_id, satellite_id).revived:
        raise Conflict(f"satellite {satellite_id} is {found.status}, not failed")
    return jsonify(present(read(satellite_id))), HTTPStatus.ACCEPTED


def read(satellite_id: UUID) -> satellites.Satellite:
    """Read a satellite; raises NotFound."""
    found = satellites.get(current_services().engine, satellite_id)
    if found is None:
        raise NotFound(f"there is no satellite {satellite_id}")
    return found
