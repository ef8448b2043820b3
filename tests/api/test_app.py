"""The application as a whole: errors in one form, and documentation that works offline."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

import pytest

from api.app import create_app
from api.cluster_document import EXAMPLE
from state_manager.config import Settings

if TYPE_CHECKING:
    from collections.abc import Callable

    from flask.testing import FlaskClient


def test_without_database_uri_it_says_so() -> None:
    with pytest.raises(SystemExit, match="DATABASE_URI"):
        create_app(Settings())


@pytest.mark.parametrize(("method", "path", "code"), [
    ("GET", "/nowhere", 404), ("GET", "/executions/", 404), ("PUT", "/executions", 405), ("POST", "/state/health", 405),
    ("DELETE", "/state/summary", 405),
])  # fmt: skip
def test_every_error_has_the_same_form(client: FlaskClient, method: str, path: str, code: int) -> None:
    response = client.open(path, method=method)
    assert response.status_code == code
    shown = response.get_json()
    assert shown.keys() == {"code", "status", "message", "errors"}
    assert shown["code"] == code
    assert code != 405 or "Allow" in response.headers


def test_our_own_fault_is_500_without_a_trace(make_client: Callable[..., FlaskClient]) -> None:
    client = make_client()

    def broken() -> str:
        raise RuntimeError("a secret detail")

    client.application.add_url_rule("/broken", "broken", broken)
    response = client.get("/broken")
    assert response.status_code == 500
    assert "secret" not in response.text
    assert "Traceback" not in response.text


def test_the_documentation_names_every_route(client: FlaskClient) -> None:
    documented = client.get("/openapi.json").get_json()["paths"]
    rules = {
        re.sub(r"<(?:\w+:)?(\w+)>", r"{\1}", rule.rule)
        for rule in client.application.url_map.iter_rules()
        if not rule.websocket  # OpenAPI has no word for them
    }
    undocumented = {rule for rule in rules - documented.keys() if not rule.startswith(("/docs", "/openapi.json"))}
    assert undocumented == set()
    assert {"get", "post"} <= documented["/executions"].keys()


def test_the_documented_example_is_accepted(client: FlaskClient) -> None:
    content = client.get("/openapi.json").get_json()["paths"]["/executions"]["post"]["requestBody"]["content"]
    assert content["application/json"]["example"] == EXAMPLE
    for media_type, body in content.items():
        example = body["example"]
        text = example if isinstance(example, str) else json.dumps(example)
        assert client.post("/executions", data=text, content_type=media_type).status_code == 201


def test_swagger_ui_comes_from_here(client: FlaskClient) -> None:
    page = client.get("/docs")
    assert page.status_code == 200
    sources = re.findall(r'(?:src|href)="([^"]+)"', page.text)
    assert len(sources) == 3
    for source in sources:
        assert source.startswith("/docs/")
        with client.get(source) as response:
            assert response.status_code == 200
    with client.get("/docs/swagger-ui/../../__init__.py") as response:
        assert response.status_code == 404


def test_entry_point_leads_programs_and_browsers_on(client: FlaskClient) -> None:
    for accept in (None, "*/*", "application/json"):
        response = client.get("/", headers={"Accept": accept} if accept else {})
        links = response.get_json()["links"]
        assert all(client.get(path).status_code in {200, 503} for path in links.values())
    page = client.get("/", headers={"Accept": "text/html,application/xhtml+xml,*/*;q=0.8"})
    assert page.mimetype == "text/html"
    assert set(re.findall(r'href="([^"]+)"', page.text)) == set(links.values())
    assert "Accept" in page.headers["Vary"]


def test_documentation_states_the_rules_that_are_not_in_types(client: FlaskClient) -> None:
    described = client.get("/openapi.json").get_json()
    timeout = described["components"]["schemas"]["ClusterDocument"]["properties"]["timeout"]
    assert (timeout["minimum"], timeout["exclusiveMinimum"]) == (0, True)
    parameters = {one["name"]: one["schema"] for one in described["paths"]["/executions"]["get"]["parameters"]}
    for name in ("project", "cluster_id"):
        pattern = re.compile(parameters[name]["pattern"])
        assert [bool(pattern.search(text)) for text in ("my project", "a\0b", "a\tb")] == [True, False, False]
    identifier = described["components"]["schemas"]["ClusterDocument"]["properties"]["identifier"]["pattern"]
    assert (identifier[0], identifier[-1]) == ("^", "$")
