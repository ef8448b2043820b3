"""Secrets over REST: they can be set, listed and deleted, and no answer ever has a value."""

from __future__ import annotations

import base64
import os
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import text

from state_manager.secrets.envelope import unseal
from state_manager.secrets.keys import MasterKeys, parse_keys
from state_manager.store import secrets
from tests.api.conftest import ECHO, cluster

if TYPE_CHECKING:
    from collections.abc import Callable

    from flask.testing import FlaskClient
    from sqlalchemy import Engine
    from werkzeug.test import TestResponse

VALUE, ANOTHER = "correct horse battery staple", "another value"
KEY = {"Idempotency-Key": "once"}


def new_keys() -> MasterKeys:
    return parse_keys(base64.b64encode(os.urandom(32)).decode())


@pytest.fixture
def keys() -> MasterKeys:
    return new_keys()


@pytest.fixture
def client(make_client: Callable[..., FlaskClient], keys: MasterKeys) -> FlaskClient:
    return make_client(secrets_key=keys)


def put(client: FlaskClient, name: str = "TOKEN", value: Any = VALUE, project: str = "project") -> TestResponse:
    return client.put(f"/projects/{project}/secrets/{name}", json={"value": value})


def listed(client: FlaskClient, project: str = "project") -> list[str]:
    return [one["name"] for one in client.get(f"/projects/{project}/secrets").get_json()["items"]]


def faults(response: TestResponse) -> list[str]:
    assert response.status_code == 422, response.text
    return [one["path"] for one in response.get_json()["errors"]]


def read(engine: Engine, keys: MasterKeys, execution_id: Any, name: str = "TOKEN") -> str:
    found = secrets.find(engine, execution_id, name)
    assert found is not None
    return unseal(keys, found.place, found.sealed)


def test_secret_is_set_listed_and_deleted(client: FlaskClient) -> None:
    response = put(client)
    assert (response.status_code, response.data) == (204, b"")
    (item,) = client.get("/projects/project/secrets").get_json()["items"]
    assert item.keys() == {"name", "created_at", "updated_at"}
    assert item["name"] == "TOKEN"
    assert client.delete("/projects/project/secrets/TOKEN").status_code == 204
    assert client.delete("/projects/project/secrets/TOKEN").status_code == 404
    assert listed(client) == []


def test_secret_that_is_set_again_keeps_its_creation_and_has_the_new_value(
    client: FlaskClient, engine: Engine, keys: MasterKeys
) -> None:
    put(client)
    (before,) = client.get("/projects/project/secrets").get_json()["items"]
    put(client, value="another value")
    (after,) = client.get("/projects/project/secrets").get_json()["items"]
    assert after["created_at"] == before["created_at"]
    assert after["updated_at"] > before["updated_at"]
    execution_id = client.post("/executions", json=cluster()).get_json()["execution_id"]
    assert read(engine, keys, execution_id) == "another value"


def test_secrets_are_those_of_their_project(client: FlaskClient) -> None:
    put(client, "B")
    put(client, "A")
    put(client, "C", project="other")
    assert listed(client) == ["A", "B"]
    assert listed(client, "other") == ["C"]
    assert listed(client, "unknown") == []


@pytest.mark.parametrize("name", ["1st", "-x", "a.b", "a b", "ä", "x" * 129, "%00", "a%0a"])
def test_bad_name_is_refused(client: FlaskClient, name: str) -> None:
    assert faults(put(client, name)) == ["name"]
    assert client.delete(f"/projects/project/secrets/{name}").status_code == 404


@pytest.mark.parametrize("project", ["a b", "%00", "x" * 129])
def test_bad_project_is_refused(client: FlaskClient, project: str) -> None:
    assert faults(put(client, project=project)) == ["project"]
    assert faults(client.get(f"/projects/{project}/secrets")) == ["project"]


@pytest.mark.parametrize("value", ["", "x" * (64 * 1024 + 1), 12345678, None, ["x"], "nul \0 character"])
def test_bad_value_is_refused_and_not_shown(client: FlaskClient, value: Any) -> None:
    response = put(client, value=value)
    assert faults(response) == ["value"]
    assert "12345678" not in response.text


@pytest.mark.parametrize("document", [{}, {"value": VALUE, "valeu": VALUE}, [VALUE], VALUE])
def test_bad_document_is_refused_and_not_shown(client: FlaskClient, document: Any) -> None:
    response = client.put("/projects/project/secrets/TOKEN", json=document)
    assert response.status_code == 422
    assert VALUE not in response.text


def test_malformed_body_is_not_shown(client: FlaskClient) -> None:
    body = f'{{"value": "{VALUE}'
    response = client.put("/projects/project/secrets/TOKEN", data=body, content_type="application/json")
    assert response.status_code == 400
    assert VALUE not in response.text


def test_largest_value_is_kept(client: FlaskClient) -> None:
    assert put(client, value="x" * 64 * 1024).status_code == 204


def test_without_a_master_key_the_first_use_of_a_secret_is_refused(make_client: Callable[..., FlaskClient]) -> None:
    client = make_client()
    for response in (put(client), client.post("/executions", json=cluster(secrets={"TOKEN": VALUE}))):
        assert response.status_code == 409
        assert "SECRETS_KEY" in response.get_json()["message"]
    assert client.post("/executions", json=cluster()).status_code == 201
    assert listed(client) == []


def test_secrets_of_a_submission_are_hidden_and_win_over_the_projects(
    client: FlaskClient, engine: Engine, keys: MasterKeys
) -> None:
    put(client)
    put(client, "OTHER", "of the project")
    response = client.post("/executions", json=cluster(secrets={"TOKEN": "of the execution"}))
    assert response.status_code == 201, response.text
    execution_id = response.get_json()["execution_id"]
    with engine.connect() as connection:
        (definition,) = connection.execute(text("SELECT definition FROM executions")).one()
    assert definition["secrets"] == {"TOKEN": "***"}
    assert read(engine, keys, execution_id) == "of the execution"
    assert read(engine, keys, execution_id, "OTHER") == "of the project"
    assert secrets.names(engine, execution_id) == ["OTHER", "TOKEN"]
    assert listed(client) == ["OTHER", "TOKEN"]


def test_secrets_of_a_submission_end_with_their_execution(client: FlaskClient, engine: Engine) -> None:
    client.post("/executions", json=cluster(secrets={"TOKEN": VALUE}))
    with engine.connect() as connection:
        connection.execute(text("DELETE FROM executions"))
        assert connection.execute(text("SELECT count(*) FROM secrets")).scalar_one() == 0


@pytest.mark.parametrize(
    ("given", "path"),
    [
        ({"1st": VALUE}, "secrets.1st"),
        ({"TOKEN": ""}, "secrets.TOKEN"),
        ({"TOKEN": 12345678}, "secrets.TOKEN"),
        ({f"S{at}": VALUE for at in range(101)}, "secrets"),
        ([VALUE], "secrets"),
    ],
)
def test_bad_secrets_of_a_submission_are_refused_and_not_shown(client: FlaskClient, given: Any, path: str) -> None:
    response = client.post("/executions", json=cluster(secrets=given))
    assert faults(response) == [path]
    assert VALUE not in response.text
    assert "12345678" not in response.text


def test_expressions_may_name_the_secrets_that_there_are(client: FlaskClient) -> None:
    put(client)
    named = {"name": "one", "uses": ECHO, "config": {"a": "${{ secrets.TOKEN }}", "b": "Bearer ${{ secrets.MINE }}"}}
    assert client.post("/executions", json=cluster(named, secrets={"MINE": VALUE})).status_code == 201
    assert faults(client.post("/executions", json=cluster(named))) == ["satellites[0].config.b"]
    wrong = cluster(named, secrets={"MINE": ""}, sla="7h")
    assert faults(client.post("/executions", json=wrong)) == ["secrets.MINE", "sla"]


def submit_once(client: FlaskClient, **values: str) -> TestResponse:
    return client.post("/executions", json=cluster(secrets=values), headers=KEY)


def test_idempotency_key_goes_with_the_values_of_secrets(client: FlaskClient) -> None:
    first = submit_once(client, TOKEN=VALUE)
    again = submit_once(client, TOKEN=VALUE)
    assert (first.status_code, again.status_code) == (201, 200)
    assert again.get_json()["execution_id"] == first.get_json()["execution_id"]
    assert submit_once(client, TOKEN=ANOTHER).status_code == 409
    assert submit_once(client, OTHER=VALUE).status_code == 409
    assert client.post("/executions", json=cluster(), headers=KEY).status_code == 409


def test_idempotency_key_is_recognised_under_a_newer_master_key(
    make_client: Callable[..., FlaskClient], client: FlaskClient, keys: MasterKeys
) -> None:
    assert submit_once(client, TOKEN=VALUE).status_code == 201
    newer = make_client(secrets_key=MasterKeys((*new_keys().keys, *keys.keys)))
    assert submit_once(newer, TOKEN=VALUE).status_code == 200
    assert submit_once(newer, TOKEN=ANOTHER).status_code == 409
    without = submit_once(make_client(secrets_key=new_keys()), TOKEN=VALUE)
    assert without.status_code == 409
    assert "is not in SECRETS_KEY" in without.get_json()["message"]


def test_stored_hash_cannot_be_tried_without_the_master_key(client: FlaskClient, engine: Engine) -> None:
    for project in ("one/cluster", "two/cluster"):
        client.post("/executions", json=cluster() | {"identifier": project})
    client.post("/executions", json=cluster(secrets={"TOKEN": VALUE}))
    with engine.connect() as connection:
        hashes = connection.execute(text("SELECT definition_hash FROM executions ORDER BY id")).scalars().all()
    assert [":" in one for one in hashes] == [False, False, True]
