"""The summary of the system: counts of executions, satellites, workers and waiting messages."""

from __future__ import annotations

from flask import Response, jsonify
from marshmallow import Schema, fields

from api import system_state
from api.blueprint import Blueprint
from api.services import current_services

blueprint = Blueprint("summary", __name__, url_prefix="/state", description="The system in numbers")


class Summary(Schema):
    """The system at a glance."""

    executions = fields.Dict(keys=fields.String(), values=fields.Integer(), metadata={"description": "By status"})
    satellites = fields.Dict(keys=fields.String(), values=fields.Integer(), metadata={"description": "By status"})
    workers = fields.Integer(metadata={"description": "That gave a sign of life lately"})
    queues = fields.Dict(
        keys=fields.String(),
        values=fields.Integer(allow_none=True),
        metadata={"description": "Messages that wait in each queue; null while Redis does not answer"},
    )
    satellite_types = fields.List(fields.String())


@blueprint.operation("GET", "/summary", Summary)
def get() -> Response:
    """Count executions, satellites, workers and waiting messages."""
    services = current_services()
    return jsonify(system_state.summary(services.engine, services.redis))
