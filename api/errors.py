"""The HTTP status of each exception, in one table, and the JSON payload of every error response."""

from __future__ import annotations

import logging
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from flask import jsonify
from marshmallow import Schema, fields
from sqlalchemy.exc import SQLAlchemyError
from werkzeug.exceptions import HTTPException
from werkzeug.routing import RequestRedirect, WebsocketMismatch
from wsproto.utilities import RemoteProtocolError

from api.faults import faults_of
from api.services import current_services
from state_manager.errors import (
    BytesMissing,
    Conflict,
    Fault,
    InvalidDocument,
    InvalidQuery,
    LocationFailed,
    NotFound,
    NotMigrated,
    StoreUnavailable,
)
from state_manager.store.outages import describe, is_outage
from state_manager.store.schema import lacks_migration

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from flask import Response
    from sqlalchemy import Engine
    from werkzeug.sansio.response import Response as AnyResponse

logger = logging.getLogger(__name__)

RETRY_AFTER_S = 2

STATUS: Mapping[type[Exception], HTTPStatus] = {
    InvalidDocument: HTTPStatus.UNPROCESSABLE_ENTITY,
    InvalidQuery: HTTPStatus.UNPROCESSABLE_ENTITY,
    NotFound: HTTPStatus.NOT_FOUND,
    BytesMissing: HTTPStatus.GONE,
    LocationFailed: HTTPStatus.SERVICE_UNAVAILABLE,
    Conflict: HTTPStatus.CONFLICT,
    StoreUnavailable: HTTPStatus.SERVICE_UNAVAILABLE,
    RemoteProtocolError: HTTPStatus.BAD_REQUEST,
}
"""Exceptions and their subclasses; an HTTPException brings its own status, and anything else is our fault: 500."""


class FaultSchema(Schema):
    """One fault of a request."""

    path = fields.String(metadata={"description": "Where: `satellites[3].dependencies[0]`, or a query parameter"})
    message = fields.String()


class Error(Schema):
    """Every error of the API."""

    code = fields.Integer(metadata={"description": "The HTTP status"})
    status = fields.String(metadata={"description": "Its name"})
    message = fields.String(metadata={"description": "One line"})
    errors = fields.List(fields.Nested(FaultSchema), metadata={"description": "Every fault, sorted by path"})


def respond(error: Exception) -> Response | AnyResponse:
    """Turn any exception that leaves a view into a response; what is our own fault is logged, never shown."""
    if isinstance(error, RequestRedirect):
        return error.get_response()
    if isinstance(error, HTTPException):
        return _payload(
            HTTPStatus(error.code or HTTPStatus.INTERNAL_SERVER_ERROR),
            _message(error),
            _query_faults(error),
            {name: value for name, value in error.get_headers() if name in {"Allow", "Retry-After", "Content-Range"}},
        )
    error = translate(current_services().engine, error)
    status = next((STATUS[kind] for kind in type(error).__mro__ if kind in STATUS), HTTPStatus.INTERNAL_SERVER_ERROR)
    if status is HTTPStatus.INTERNAL_SERVER_ERROR:
        logger.error("a request failed", exc_info=error)
        return _payload(status, "The server failed to answer; its log says why.")
    if isinstance(error, StoreUnavailable | LocationFailed):
        return _payload(status, str(error), headers={"Retry-After": str(RETRY_AFTER_S)})
    faults = error.faults if isinstance(error, InvalidDocument | InvalidQuery) else ()
    return _payload(status, _summary(faults) if faults else str(error), faults)


def translate(engine: Engine, error: Exception) -> Exception:
    """Return StoreUnavailable or NotMigrated where that is why the database raised this error, else the error."""
    try:
        not_migrated = lacks_migration(engine, error)
    except SQLAlchemyError as another:
        error, not_migrated = another, False
    if not_migrated:
        logger.error("the database is not migrated: %s", describe(error))
        return NotMigrated()
    if is_outage(error):
        logger.warning("the database does not answer: %s", describe(error))
        return StoreUnavailable()
    return error


def _payload(
    status: HTTPStatus, message: str, faults: Sequence[Fault] = (), headers: Mapping[str, str] | None = None
) -> Response:
    response = jsonify(
        code=status.value,
        status=status.phrase,
        message=message,
        errors=[{"path": fault.path, "message": fault.message} for fault in faults],
    )
    response.status_code = status
    response.headers.extend(headers or {})
    return response


def _message(error: HTTPException) -> str:
    if isinstance(error, WebsocketMismatch):
        return "WebSockets are at /ws/… and need an Upgrade; everything else is elsewhere and needs none"
    faults = _query_faults(error)
    return _summary(faults) if faults else error.description or error.name


def _query_faults(error: HTTPException) -> list[Fault]:
    """List what webargs found wrong with a query or a header: `{"query": {"limit": ["…"]}}`."""
    messages: dict[str, Any] = (getattr(error, "data", None) or {}).get("messages", {})
    return sorted(fault for by_field in messages.values() for fault in faults_of(by_field))


def _summary(faults: Sequence[Fault]) -> str:
    first = f"{faults[0].path}: {faults[0].message}" if faults[0].path else faults[0].message
    if len(faults) == 1:
        return f"1 fault: {first}"
    return f"{len(faults)} faults, the first: {first}"
