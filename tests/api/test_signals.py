"""Signals by the API: what is accepted, what is answered, and what is refused."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pytest

from tests.api.conftest import cluster

if TYPE_CHECKING:
    from collections.abc import Callable

    from flask.testing import FlaskClient


@pytest.fixture
def where(client: FlaskClient) -> str:
    return f"/executions/{client.post('/executions', json=cluster()).get_json()['execution_id']}/signals"


@pytest.mark.parametrize("payload", [None, {"ok": True}, [1, 2.5], "text", 0, False])
def test_signal_is_accepted_and_kept(client: FlaskClient, where: str, payload: Any) -> None:
    answer = client.post(f"{where}/go", json={"payload": payload})
    assert answer.status_code == 202
    shown = answer.get_json()
    assert shown.pop("sent_at").endswith("Z")
    assert shown == {"id": 1, "execution_id": where.split("/")[2], "name": "go", "satellite_id": None}


def test_payload_is_null_by_default(client: FlaskClient, where: str) -> None:
    assert client.post(f"{where}/go", json={}).status_code == 202


@pytest.mark.parametrize("name", ["a", "approve it", "Übersicht 🚀", "a.b:c-d", "x" * 128])
def test_names_are_short_printable_texts(client: FlaskClient, where: str, name: str) -> None:
    assert client.post(f"{where}/{name}", json={}).get_json()["name"] == name


@pytest.mark.parametrize(("name", "code"), [("x" * 129, 422), ("a%00b", 422), ("a%0Ab", 422), ("a%2Fb", 404)])
def test_other_names_are_refused(client: FlaskClient, where: str, name: str, code: int) -> None:
    answer = client.post(f"{where}/{name}", json={})
    assert answer.status_code == code
    assert code == 404 or [fault["path"] for fault in answer.get_json()["errors"]] == ["name"]


@pytest.mark.parametrize(
    ("body", "media_type", "code"),
    [
        ("{", "application/json", 400), ("[]", "application/json", 422),
        ('{"payload": 1, "other": 2}', "application/json", 422),
        ('{"payload": "\\u0000"}', "application/json", 422), ("{}", "text/plain", 415), ("", "application/json", 400),
    ],
)  # fmt: skip
def test_bad_bodies_are_refused(client: FlaskClient, where: str, body: str, media_type: str, code: int) -> None:
    assert client.post(f"{where}/go", data=body, content_type=media_type).status_code == code


def test_payload_that_no_output_could_hold_is_refused(make_client: Callable[..., FlaskClient]) -> None:
    client = make_client(max_output_bytes=100)
    execution_id = client.post("/executions", json=cluster()).get_json()["execution_id"]
    answer = client.post(f"/executions/{execution_id}/signals/go", json={"payload": "x" * 99})
    assert answer.status_code == 422
    assert "has 101 bytes; it becomes an output, of at most 100" in answer.get_json()["errors"][0]["message"]
    assert client.post(f"/executions/{execution_id}/signals/go", json={"payload": "x" * 98}).status_code == 202


def test_unknown_execution_is_404_and_one_that_has_ended_409(client: FlaskClient, where: str) -> None:
    assert client.post(f"/executions/{uuid4()}/signals/go", json={}).status_code == 404
    client.delete(f"/executions/{where.split('/')[2]}")
    answer = client.post(f"{where}/go", json={})
    assert (answer.status_code, "is cancelled" in answer.get_json()["message"]) == (409, True)


def test_same_key_is_one_signal_and_another_signal_a_conflict(client: FlaskClient, where: str) -> None:
    key = {"Idempotency-Key": "k"}
    first, again = (client.post(f"{where}/go", json={"payload": 1}, headers=key) for _ in range(2))
    assert first.get_json() == again.get_json()
    assert client.post(f"{where}/go", json={"payload": 2}, headers=key).status_code == 409


def test_signal_is_an_event(client: FlaskClient, where: str) -> None:
    client.post(f"{where}/go", json={"payload": 1})
    events = client.get(where.replace("signals", "events")).get_json()["items"]
    assert [(one["kind"], one["data"]) for one in events[-1:]] == [("signalled", {"name": "go"})]
