"""Logs: the lines that a satellite logged."""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from flask import Response, jsonify
from marshmallow import Schema, fields

from api import pages
from api.blueprint import Blueprint
from api.pages import PageQuery
from api.presenter import Presenter
from api.resources.satellites import read
from api.schemas import SEQ
from api.services import current_services
from state_manager.store import logs

if TYPE_CHECKING:
    from collections.abc import Mapping
    from uuid import UUID

blueprint = Blueprint("logs", __name__, url_prefix="/satellites", description="Lines that satellites logged")


class Log(Schema):
    """A line that a satellite logged."""

    at = fields.DateTime()
    attempt = fields.Integer()
    level = fields.String()
    message = fields.String()


class Logs(Schema):
    """A page of log lines, oldest first."""

    items = fields.List(fields.Nested(Log))
    next_cursor = fields.String(allow_none=True)


class LogsQuery(PageQuery):
    """The log lines of a satellite to read."""

    cursor = fields.Integer(
        load_default=0, validate=SEQ, metadata={"description": "The `next_cursor` of the page before"}
    )


present = Presenter(Log)


@blueprint.operation("GET", "/<uuid:satellite_id>/logs", Logs, query=LogsQuery, errors=(HTTPStatus.NOT_FOUND,))
def find(query: Mapping[str, Any], satellite_id: UUID) -> Response:
    """Read what a satellite logged, oldest first."""
    limit = query["limit"]
    rows = logs.read_logs(current_services().engine, satellite_id, after=query["cursor"], limit=limit + 1)
    if not rows:
        read(satellite_id)  # raises where there is no such satellite
    page, last = pages.cut(rows, limit)
    return jsonify(items=present.all(page), next_cursor=last and str(last.id))
