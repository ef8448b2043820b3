"""Secrets of a project: set, list and delete them. No call answers a value."""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from flask import Response, jsonify, request
from marshmallow import Schema, ValidationError, fields

from api import documents, request_body, secret_schemas
from api.blueprint import Blueprint
from api.cluster_document import PROJECT
from api.faults import faults_of
from api.presenter import Presenter
from api.schemas import StrictSchema
from api.services import current_services
from state_manager.errors import Fault, InvalidDocument, InvalidQuery, NotFound
from state_manager.secrets.configured import require_keys
from state_manager.secrets.envelope import Place, seal
from state_manager.store import secrets

if TYPE_CHECKING:
    from collections.abc import Iterator

blueprint = Blueprint("secrets", __name__, url_prefix="/projects", description="Values that satellites read by name")


class SecretDocument(StrictSchema):
    """A secret to set."""

    value = secret_schemas.Value(required=True)


class ListedSecret(Schema):
    """A secret without its value."""

    name = fields.String()
    created_at = fields.DateTime()
    updated_at = fields.DateTime()


class ListedSecrets(Schema):
    """The secrets of a project, by name."""

    items = fields.List(fields.Nested(ListedSecret))


REQUEST_BODY: dict[str, Any] = {
    "required": True,
    "content": {documents.JSON: {"schema": SecretDocument, "example": {"value": "hunter2"}}},
}

present = Presenter(ListedSecret)
_DOCUMENT = SecretDocument()


@blueprint.operation(
    "PUT",
    "/<project>/secrets/<name>",
    None,
    status=HTTPStatus.NO_CONTENT,
    errors=(
        HTTPStatus.BAD_REQUEST,
        HTTPStatus.CONFLICT,
        HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
        HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
        HTTPStatus.UNPROCESSABLE_ENTITY,
    ),
    requestBody=REQUEST_BODY,
)
def put(project: str, name: str) -> Response:
    """Set a secret, in place of one of the same name; what runs reads the new value when it next asks.

    The value is encrypted before it is stored. 409 where the API has no master key.
    """
    services = current_services()
    keys = require_keys(services.keys)
    allowed_bytes = services.settings.max_body_bytes
    body = request_body.read(allowed_bytes)
    document = documents.parse_object(body, request.mimetype, allowed_bytes, what="a secret")
    if faults := [*_faults_of_path(project, name), *_faults_of_document(document)]:
        raise InvalidDocument(faults)
    place = Place(project, name)
    secrets.put(services.engine, place, seal(keys, place, document["value"]))
    return Response(status=HTTPStatus.NO_CONTENT)


@blueprint.operation("GET", "/<project>/secrets", ListedSecrets, errors=(HTTPStatus.UNPROCESSABLE_ENTITY,))
def find(project: str) -> Response:
    """List the names of a project's secrets, and when they were set."""
    if faults := list(_faults_of_path(project)):
        raise InvalidQuery(faults)
    return jsonify(items=present.all(secrets.listed(current_services().engine, project)))


@blueprint.operation(
    "DELETE",
    "/<project>/secrets/<name>",
    None,
    status=HTTPStatus.NO_CONTENT,
    errors=(HTTPStatus.NOT_FOUND,),
)
def delete(project: str, name: str) -> Response:
    """Delete a secret; a satellite that asks for it from now on fails."""
    services = current_services()
    if any(_faults_of_path(project, name)) or not secrets.remove(services.engine, project, name):
        raise NotFound(f"project {project} has no secret {name!r}")
    return Response(status=HTTPStatus.NO_CONTENT)


def _faults_of_path(project: str, name: str | None = None) -> Iterator[Fault]:
    for path, check, text in (("project", PROJECT, project), ("name", secret_schemas.NAME, name)):
        try:
            if text is not None:
                check(text)
        except ValidationError as error:
            yield Fault(path, str(error.messages[0]))


def _faults_of_document(document: dict[str, Any]) -> Iterator[Fault]:
    yield from faults_of(_DOCUMENT.validate(document))
