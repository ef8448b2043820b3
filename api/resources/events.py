"""Events: the log of an execution's changes."""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from flask import Response, jsonify
from marshmallow import Schema, fields

from api import pages
from api.blueprint import Blueprint
from api.pages import PageQuery
from api.presenter import Presenter
from api.schemas import SEQ
from api.services import current_services
from state_manager.errors import NotFound
from state_manager.store import events

if TYPE_CHECKING:
    from collections.abc import Mapping
    from uuid import UUID

blueprint = Blueprint("events", __name__, url_prefix="/executions", description="Changes of an execution, in order")


class Event(Schema):
    """An entry of an execution's event log."""

    seq = fields.Integer(metadata={"description": "Gapless within an execution, from 1"})
    execution_id = fields.UUID()
    satellite_id = fields.UUID(allow_none=True)
    name = fields.String(allow_none=True, metadata={"description": "The satellite's"})
    kind = fields.String()
    status = fields.String(metadata={"description": "The satellite's where there is one, else the execution's"})
    at = fields.DateTime()
    data = fields.Raw(allow_none=True)


class Events(Schema):
    """A page of events, oldest first."""

    items = fields.List(fields.Nested(Event))
    next_after = fields.Integer(allow_none=True, metadata={"description": "The next page's `after`"})


class EventsQuery(PageQuery):
    """The events of an execution to read."""

    after = fields.Integer(load_default=0, validate=SEQ, metadata={"description": "Events with a greater seq only"})


present = Presenter(Event)


@blueprint.operation("GET", "/<uuid:execution_id>/events", Events, query=EventsQuery, errors=(HTTPStatus.NOT_FOUND,))
def find(query: Mapping[str, Any], execution_id: UUID) -> Response:
    """Read an execution's events, oldest first."""
    limit = query["limit"]
    rows = events.read(current_services().engine, execution_id, after=query["after"], limit=limit + 1)
    if rows is None:
        raise NotFound(f"there is no execution {execution_id}")
    page, last = pages.cut(rows, limit)
    return jsonify(items=present.all(page), next_after=last and last.seq)
