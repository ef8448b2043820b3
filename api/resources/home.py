"""The entry point: links to the documentation, the health and the lists."""

from __future__ import annotations

from flask import Response, jsonify, request
from marshmallow import Schema, fields

from api.blueprint import Blueprint

blueprint = Blueprint("home", __name__, description="Where to go from here")

NAME = "ExosphereHost State Manager"

LINKS = {
    "documentation": "/docs",
    "openapi": "/openapi.json",
    "health": "/state/health",
    "summary": "/state/summary",
    "executions": "/executions",
}

_PAGE = """<!doctype html>
<html lang="en"><meta charset="utf-8"><title>{name}</title>
<h1>{name}</h1>
<ul>
{items}
</ul>
</html>
"""


class Home(Schema):
    """The name of this service, and paths to begin with."""

    name = fields.String()
    links = fields.Dict(keys=fields.String(), values=fields.String())


@blueprint.operation("GET", "/", Home)
def get() -> Response:
    """Name this service and its main paths; a browser gets them as a page."""
    if request.accept_mimetypes.best_match(["application/json", "text/html"]) == "text/html":
        items = "\n".join(f'<li><a href="{path}">{name}</a></li>' for name, path in LINKS.items())
        response = Response(_PAGE.format(name=NAME, items=items), mimetype="text/html")
    else:
        response = jsonify(name=NAME, links=LINKS)
    response.vary.add("Accept")
    return response
