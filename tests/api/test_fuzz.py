"""Random requests get only documented responses, and never a 500."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.api.conftest import ECHO, cluster

if TYPE_CHECKING:
    from flask.testing import FlaskClient

ANY_JSON: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters(codec=None)),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(st.characters(codec=None)), inner),
    max_leaves=15,
)
NAMES = st.sampled_from(["a", "b", "c"])
SATELLITES = st.fixed_dictionaries(
    {"name": NAMES | ANY_JSON, "uses": st.just(ECHO) | ANY_JSON},
    optional={
        "dependencies": st.lists(NAMES | ANY_JSON) | ANY_JSON,
        "config": ANY_JSON,
        "input": ANY_JSON,
        "queue": ANY_JSON,
        "run_when": st.sampled_from(["all_done", "all_success"]) | ANY_JSON,
    },
)
DOCUMENTS = st.fixed_dictionaries(
    {"identifier": st.just("p/n") | ANY_JSON, "satellites": st.lists(SATELLITES | ANY_JSON) | ANY_JSON},
    optional={"sla": ANY_JSON, "title": ANY_JSON, "inputs": ANY_JSON, "failure_policy": ANY_JSON, "cluster": ANY_JSON},
)

pytestmark = pytest.mark.usefixtures("redis")


@given(document=DOCUMENTS | ANY_JSON)
def test_any_json_posted_is_answered_soundly(client: FlaskClient, document: Any) -> None:
    response = client.post("/executions", data=json.dumps(document), content_type="application/json")
    assert response.status_code in {201, 400, 422}, response.text
    if response.status_code != 201:
        assert response.get_json().keys() == {"code", "status", "message", "errors"}


@given(body=st.binary(max_size=200) | st.text("[]{}:,-?&*!|>'\"%@` \n\tab01.#", max_size=60).map(str.encode))
def test_any_bytes_posted_are_answered_soundly(client: FlaskClient, body: bytes) -> None:
    for media_type in ("application/json", "application/yaml"):
        response = client.post("/executions", data=body, content_type=media_type)
        assert response.status_code in {400, 422}, (body, response.text)


@given(query=st.dictionaries(
    st.sampled_from(["limit", "cursor", "status", "project", "created_after", "created_before"]), st.text(max_size=30)
))  # fmt: skip
def test_any_query_is_answered_soundly(client: FlaskClient, query: dict[str, str]) -> None:
    assert client.get("/executions", query_string=query).status_code in {200, 422}


def test_a_plain_cluster_passes_here_too(client: FlaskClient) -> None:
    assert client.post("/executions", json=cluster()).status_code == 201
