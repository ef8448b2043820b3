"""The blueprint of a resource: declares each operation in one place, and refuses unknown query parameters."""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING, Any, TypeVar

import flask_smorest
from webargs.flaskparser import FlaskParser

from api.errors import Error

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping

    from flask import Response
    from marshmallow import Schema

View = TypeVar("View", bound="Callable[..., Response | tuple[Response, int]]")


class _StrictParser(FlaskParser):
    """Refuses unknown query parameters, and ignores unknown headers."""

    DEFAULT_UNKNOWN_BY_LOCATION: Mapping[str, str | None] = {"query": "raise", "headers": "exclude"}  # type: ignore[assignment]


class Blueprint(flask_smorest.Blueprint):  # type: ignore[misc]  # flask-smorest has no types
    """The operations on one resource."""

    ARGUMENTS_PARSER = _StrictParser()

    def operation(
        self,
        method: str,
        rule: str,
        schema: type[Schema] | Mapping[str, str] | None,
        *,
        media_type: str | None = None,
        status: HTTPStatus = HTTPStatus.OK,
        query: type[Schema] | None = None,
        headers: type[Schema] | None = None,
        also: Collection[HTTPStatus] = (),
        errors: Collection[HTTPStatus] = (),
        **documentation: Any,
    ) -> Callable[[View], View]:
        """Route a view, document it, and hand it its parsed query or headers.

        What is no JSON has a `media_type`, and a schema as OpenAPI writes it.

        `also` are other statuses that come with the same response, `errors` those that come with an error.
        """

        def declare(view: View) -> View:
            declared: Any = self.response(status, schema, content_type=media_type)(view)
            for other, shown, kind in (
                *((one, schema, media_type) for one in also),
                *((one, Error, None) for one in errors),
            ):
                declared = self.alt_response(other, schema=shown, content_type=kind, description=other.phrase)(declared)
            for asked, location in ((headers, "headers"), (query, "query")):
                if asked is not None:
                    declared = self.arguments(asked, location=location)(declared)
            if documentation:
                declared = self.doc(**documentation)(declared)
            self.route(rule, methods=[method])(declared)
            return view

        return declare
