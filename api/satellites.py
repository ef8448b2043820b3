"""Satellites: look at one, and read what it logged."""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from flask import Response, jsonify

from api import responses, serialisers
from api.resource import Resource
from api.schemas import LogsQuery
from api.services import services
from state_manager.errors import Conflict, NotFound
from state_manager.states import SatelliteStatus
from state_manager.store import satellites

if TYPE_CHECKING:
    from collections.abc import Mapping
    from uuid import UUID

    from sqlalchemy import RowMapping

blueprint = Resource("satellites", __name__, url_prefix="/satellites", description="Units of work of an execution")


@blueprint.operation("GET", "/<uuid:satellite_id>", responses.Satellite, errors=(HTTPStatus.NOT_FOUND,))
def get(satellite_id: UUID) -> Response:
    """Look at a satellite."""
    return jsonify(serialisers.satellite(_row(satellite_id)))


@blueprint.operation(
    "POST",
    "/<uuid:satellite_id>/retry",
    responses.Satellite,
    status=HTTPStatus.ACCEPTED,
    errors=(HTTPStatus.NOT_FOUND, HTTPStatus.CONFLICT),
)
def retry(satellite_id: UUID) -> tuple[Response, int]:
    """Try a failed satellite again, and what was skipped because of it alone; also while its execution runs."""
    row = _row(satellite_id)
    if (
        row["status"] != SatelliteStatus.FAILED
        or not services().lifecycle.retry(row["execution_id"], satellite_id).revived
    ):
        raise Conflict(f"satellite {satellite_id} is {row['status']}, not failed")
    return jsonify(serialisers.satellite(_row(satellite_id))), HTTPStatus.ACCEPTED


@blueprint.operation(
    "GET", "/<uuid:satellite_id>/logs", responses.Logs, query=LogsQuery, errors=(HTTPStatus.NOT_FOUND,)
)
def list_logs(query: Mapping[str, Any], satellite_id: UUID) -> Response:
    """Read what a satellite logged, oldest first."""
    limit = query["limit"]
    rows = satellites.read_logs(services().engine, satellite_id, after=query["cursor"], limit=limit + 1)
    if not rows:
        _row(satellite_id)
    page = rows[:limit]
    return jsonify(
        items=[serialisers.log(row) for row in page],
        next_cursor=str(page[-1]["id"]) if len(rows) > limit else None,
    )


def _row(satellite_id: UUID) -> RowMapping:
    row = satellites.get(services().engine, satellite_id)
    if row is None:
        raise NotFound(f"there is no satellite {satellite_id}")
    return row
