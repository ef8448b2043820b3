"""Signals: values that are sent to an execution, for satellites that wait for them."""

from __future__ import annotations

import json
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from flask import Response, jsonify, request
from marshmallow import Schema, ValidationError, fields, validate

from api import documents, request_body
from api.blueprint import Blueprint
from api.faults import faults_of
from api.presenter import Presenter
from api.resources.executions import IdempotencyHeader
from api.schemas import LONGEST_NAME, Pattern, StrictSchema
from api.services import current_services
from state_manager.errors import Fault, InvalidDocument

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from uuid import UUID

blueprint = Blueprint("signals", __name__, url_prefix="/executions", description="Values sent to satellites that wait")

_NAME = validate.And(
    validate.Length(1, LONGEST_NAME),
    Pattern(r"[^\x00-\x1f\x7f/]*", error="Control characters and slashes are not allowed."),
)


class SignalDocument(StrictSchema):
    """A signal to send."""

    payload = fields.Raw(
        load_default=None, allow_none=True, metadata={"description": "Any JSON value; null by default"}
    )


class Signal(Schema):
    """A signal that is kept."""

    id = fields.Integer()
    execution_id = fields.UUID()
    name = fields.String()
    sent_at = fields.DateTime()
    satellite_id = fields.UUID(
        allow_none=True, metadata={"description": "The satellite that was given it, if one waits"}
    )


REQUEST_BODY: dict[str, Any] = {
    "required": True,
    "content": {documents.JSON: {"schema": SignalDocument, "example": {"payload": {"approved": True}}}},
}

present = Presenter(Signal)
_DOCUMENT = SignalDocument()


@blueprint.operation(
    "POST",
    "/<uuid:execution_id>/signals/<name>",
    Signal,
    status=HTTPStatus.ACCEPTED,
    headers=IdempotencyHeader,
    errors=(
        HTTPStatus.BAD_REQUEST,
        HTTPStatus.NOT_FOUND,
        HTTPStatus.CONFLICT,
        HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
        HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
        HTTPStatus.UNPROCESSABLE_ENTITY,
    ),
    requestBody=REQUEST_BODY,
)
def send(headers: Mapping[str, str], execution_id: UUID, name: str) -> tuple[Response, int]:
    """Send a signal to an execution.

    The satellite that has waited longest for one of this name receives it, and runs at once. Where none waits it is
    kept, first in, first out. With the same Idempotency-Key again it is the same signal. 409 where the execution has
    ended, or the key came with another signal.
    """
    services = current_services()
    allowed_bytes = services.settings.max_body_bytes
    body = request_body.read(allowed_bytes)
    document = documents.parse_object(body, request.mimetype, allowed_bytes, what="a signal")
    if faults := [*_faults(name, document, services.settings.max_output_bytes)]:
        raise InvalidDocument(faults)
    sent = services.lifecycle.signal(execution_id, name, document.get("payload"), key=headers.get("key"))
    return jsonify(present(sent)), HTTPStatus.ACCEPTED


def _faults(name: str, document: dict[str, Any], allowed_bytes: int) -> Iterator[Fault]:
    try:
        _NAME(name)
    except ValidationError as error:
        yield Fault("name", str(error.messages[0]))
    yield from faults_of(_DOCUMENT.validate(document))
    size = len(json.dumps(document.get("payload"), ensure_ascii=False).encode())
    if size > allowed_bytes:
        yield Fault("payload", f"has {size} bytes; it becomes an output, of at most {allowed_bytes} (MAX_OUTPUT_BYTES)")
