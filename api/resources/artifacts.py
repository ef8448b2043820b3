"""Artifacts: what satellites have kept, listed by execution, and its bytes."""

from __future__ import annotations

import unicodedata
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, cast
from urllib.parse import quote

from flask import Response, jsonify, request
from marshmallow import Schema, fields
from werkzeug.wsgi import FileWrapper

from api import pages
from api.blueprint import Blueprint
from api.pages import PageQuery
from api.presenter import Presenter
from api.services import current_services
from exospherehost.artifacts import URI_SCHEME
from state_manager.errors import NotFound
from state_manager.store import artifacts

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import BinaryIO
    from uuid import UUID

    from state_manager.artifact_bytes import StoredFile

blueprint = Blueprint("artifacts", __name__, description="Data that satellites have kept")

BYTES: Mapping[str, str] = {"type": "string", "format": "binary"}

SENT_AT_ONCE = 1024 * 1024


class Artifact(Schema):
    """An artifact; the first six fields are the reference that its satellite got."""

    uri = fields.String(metadata={"description": "`artifact:ID`"})
    id = fields.UUID()
    name = fields.String(metadata={"description": "Unique within its satellite"})
    size = fields.Integer(metadata={"description": "Bytes"})
    sha256 = fields.String(metadata={"description": "Hexadecimal"})
    media_type = fields.String()
    execution_id = fields.UUID()
    satellite_id = fields.UUID()
    satellite = fields.String(metadata={"description": "The satellite's name"})
    attempt = fields.Integer(metadata={"description": "The attempt that kept it"})
    created_at = fields.DateTime()


class Artifacts(Schema):
    """A page of artifacts, oldest first."""

    items = fields.List(fields.Nested(Artifact))
    next_cursor = fields.String(allow_none=True)


class ArtifactsQuery(PageQuery):
    """The artifacts of an execution to list."""

    cursor = fields.UUID(load_default=None, metadata={"description": "The `next_cursor` of the page before"})


def _uri(artifact: artifacts.Artifact) -> str:
    return f"{URI_SCHEME}{artifact.id}"


present = Presenter(Artifact, uri=_uri)


@blueprint.operation(
    "GET", "/executions/<uuid:execution_id>/artifacts", Artifacts, query=ArtifactsQuery, errors=(HTTPStatus.NOT_FOUND,)
)
def find(query: Mapping[str, Any], execution_id: UUID) -> Response:
    """List the artifacts of an execution's satellites, oldest first."""
    limit = query["limit"]
    rows = artifacts.find(current_services().engine, execution_id, after=query["cursor"], limit=limit + 1)
    if rows is None:
        raise NotFound(f"there is no execution {execution_id}")
    page, last = pages.cut(rows, limit)
    return jsonify(items=present.all(page), next_cursor=last and str(last.id))


@blueprint.operation(
    "GET",
    "/artifacts/<uuid:artifact_id>",
    BYTES,
    media_type="application/octet-stream",
    also=(HTTPStatus.PARTIAL_CONTENT,),
    errors=(
        HTTPStatus.NOT_FOUND,
        HTTPStatus.GONE,
        HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE,
        HTTPStatus.SERVICE_UNAVAILABLE,
    ),
)
def get(artifact_id: UUID) -> Response:
    """Download an artifact, or a range of it.

    The answer has its media type and its name, and its hash as the ETag; 304 where If-None-Match has the same.
    410 where the artifact is known, but its bytes are not where they were written.
    """
    services = current_services()
    found = artifacts.get(services.engine, artifact_id)
    if found is None:
        raise NotFound(f"there is no artifact {artifact_id}: there never was, or a later attempt has replaced it")
    return _response(found, services.artifact_bytes.open(found))


def _response(artifact: artifacts.Artifact, file: StoredFile) -> Response:
    body = FileWrapper(cast("BinaryIO", file), SENT_AT_ONCE)
    response = Response(body, mimetype=artifact.media_type, direct_passthrough=True)
    response.content_length = artifact.size
    response.headers.set("Content-Disposition", "attachment", **_filename(artifact.name))
    # A satellite chose the type: a browser is to save it, and run nothing of it as ours.
    response.headers["X-Content-Type-Options"] = "nosniff"
    response.headers["Content-Security-Policy"] = "sandbox; default-src 'none'"
    response.set_etag(artifact.sha256)
    response.make_conditional(request, accept_ranges=True, complete_length=artifact.size)
    return response


def _filename(name: str) -> dict[str, str]:
    """Return the parameters that tell a name to clients: what ASCII lacks needs the second form, RFC 6266."""
    name = name.replace("/", "_").replace("\\", "_")
    if name.isascii():
        return {"filename": name}
    plain = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode()
    return {"filename": plain, "filename*": f"UTF-8''{quote(name, safe='')}"}
