"""POST /executions."""

from __future__ import annotations

import io
import json
import socket
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from sqlalchemy import event

from api.services import services_of
from state_manager.store.satellite_types import SatelliteType, register_types
from tests.api.conftest import ECHO, cluster, satellite
from tests.instruction_count import growth
from tests.waiting import until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from flask.testing import FlaskClient
    from redis import Redis
    from sqlalchemy import Engine
    from werkzeug.test import TestResponse


def test_a_submission_answers_201_with_the_execution_and_where_it_is(client: FlaskClient) -> None:
    response = client.post("/executions", json=cluster(satellite("a"), satellite("b", "a"), sla="6h", title="T"))
    assert response.status_code == 201
    shown = response.json
    assert shown is not None
    assert response.headers["Location"].endswith(f"/executions/{shown['execution_id']}")
    assert shown["status"] == "running"
    assert shown["cluster_id"] == "project/name"
    assert shown["project"] == "project"
    assert shown["sla"] == "6h"
    assert shown["title"] == "T"
    assert [one["name"] for one in shown["satellites"]] == ["a", "b"]
    a, b = (one["satellite_id"] for one in shown["satellites"])
    assert shown["dependencies"] == {a: [], b: [a]}
    assert shown["progress"] == {
        "total_satellites": 2,
        "completed_satellites": 0,
        "failed_satellites": 0,
        "skipped_satellites": 0,
        "cancelled_satellites": 0,
        "percent": 0.0,
    }
    assert client.get(response.headers["Location"]).json == shown


def test_yaml_and_a_wrapped_cluster_are_the_same_document(client: FlaskClient) -> None:
    document = cluster(satellite("a", config={"n": 1, "x": [1.5, None, True, "t"]}))
    key = {"Idempotency-Key": "k"}
    first = client.post("/executions", json=document, headers=key)
    wrapped = client.post("/executions", json={"cluster": document}, headers=key)
    text = yaml.safe_dump({"cluster": document})
    for media_type in ("application/yaml", "application/x-yaml", "text/yaml; charset=utf-8"):
        again = client.post("/executions", data=text, content_type=media_type, headers=key)
        assert (again.status_code, again.json) == (200, first.json)
    assert first.status_code == 201
    assert (wrapped.status_code, wrapped.json) == (200, first.json)


def test_an_idempotency_key_with_another_document_conflicts(client: FlaskClient) -> None:
    key = {"Idempotency-Key": "k"}
    assert client.post("/executions", json=cluster(), headers=key).status_code == 201
    response = client.post("/executions", json=cluster(title="other"), headers=key)
    assert response.status_code == 409


def test_an_idempotency_key_belongs_to_its_project(client: FlaskClient) -> None:
    key = {"Idempotency-Key": "k"}
    documents = [cluster() | {"identifier": f"{project}/name"} for project in ("one", "two")]
    first = [client.post("/executions", json=one, headers=key) for one in documents]
    again = [client.post("/executions", json=one, headers=key) for one in documents]
    assert [one.status_code for one in (*first, *again)] == [201, 201, 200, 200]
    ids = [one.get_json()["execution_id"] for one in first]
    assert ids[0] != ids[1]
    assert [one.get_json()["execution_id"] for one in again] == ids


@pytest.mark.parametrize("key", ["", "k" * 256, "a\tb"])
def test_an_unusable_idempotency_key_is_refused(client: FlaskClient, key: str) -> None:
    response = client.post("/executions", json=cluster(), headers={"Idempotency-Key": key})
    assert response.status_code == 422
    assert _paths(response) == ["Idempotency-Key"]


def test_what_is_over_the_limit_waits_and_is_not_dispatched(
    make_client: Callable[..., FlaskClient], redis: Redis
) -> None:
    client = make_client(max_concurrent_executions=1)
    assert client.post("/executions", json=cluster()).json["status"] == "running"  # type: ignore[index]
    until(lambda: redis.llen("satellites") == 1, what="the first is dispatched")
    assert client.post("/executions", json=cluster()).json["status"] == "pending"  # type: ignore[index]
    assert redis.llen("satellites") == 1


def test_a_repeated_submission_is_not_dispatched_again(client: FlaskClient, redis: Redis) -> None:
    for _ in range(2):
        client.post("/executions", json=cluster(), headers={"Idempotency-Key": "k"})
        until(lambda: redis.llen("satellites") > 0, what="it is dispatched")
    assert redis.llen("satellites") == 1


def test_a_broker_that_is_away_fails_no_submission(client: FlaskClient) -> None:
    assert client.post("/executions", json=cluster()).status_code == 201


def test_a_broker_that_says_nothing_delays_a_submission_but_not_for_long(
    client: FlaskClient, broker: Callable[[str], None]
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        broker(f"redis://127.0.0.1:{silent.getsockname()[1]}")
        started = time.monotonic()
        assert client.post("/executions", json=cluster()).status_code == 201
        assert time.monotonic() - started < 20  # half a second by itself; kombu alone would try for a minute and more


def test_a_body_over_the_limit_is_413(make_client: Callable[..., FlaskClient]) -> None:
    client = make_client(max_body_bytes=1000)
    assert client.post("/executions", json=cluster(description="x" * 1000)).status_code == 413


def test_a_chunked_body_is_taken_up_to_the_limit_and_not_cut_off(make_client: Callable[..., FlaskClient]) -> None:
    text = json.dumps(cluster()).encode()

    def post(body: bytes) -> int:
        return client.post(
            "/executions",
            input_stream=io.BytesIO(body),
            content_type="application/yaml",
            headers={"Transfer-Encoding": "chunked"},
            environ_overrides={"wsgi.input_terminated": True},
        ).status_code

    client = make_client(max_body_bytes=len(text) + 2)
    assert post(text + b" #") == 201
    assert post(text + b" #x") == 413
    assert post(text + b" #" + b"x" * 1000) == 413


@pytest.mark.parametrize("media_type", [None, "text/plain", "application/x-www-form-urlencoded", "multipart/form-data"])
def test_another_media_type_is_415(client: FlaskClient, media_type: str | None) -> None:
    response = client.post("/executions", data=json.dumps(cluster()), content_type=media_type)
    assert response.status_code == 415


@pytest.mark.parametrize(("media_type", "body"), [
    ("application/json", b""),
    ("application/json", b"{"),
    ("application/json", b'{"a": NaN}'),
    ("application/json", b'{"a": 1, "a": 2}'),
    ("application/json", b"\xff\xfe"),
    ("application/json", b"[" * 200_000),
    ("application/json", b'{"a":' * 500 + b"1" + b"}" * 500),
    ("application/json", b'{"a": ' + b"9" * 5000 + b"}"),
    ("application/yaml", b"a: [1"),
    ("application/yaml", b"a: .nan"),
    ("application/yaml", b"a: 1\na: 2"),
    ("application/yaml", b"1: 2"),
    ("application/yaml", b"a: !!binary aGk="),
    ("application/yaml", b"a: &x [*x]"),
    ("application/yaml", b"a: *nowhere"),
    ("application/yaml", b"a: 1\n---\nb: 2"),
    ("application/yaml", b"[" * 200_000),
    ("application/yaml", b"a: " + b"9" * 5000),
    ("application/yaml", b"a: !!python/object/apply:os.system [ls]"),
    ("application/yaml", b"a: &a {x: 1}\nb: {<<: *a}"),
    ("application/yaml", b"? [a]\n: b"),
    ("application/yaml", b"\x01"),
])  # fmt: skip
def test_a_malformed_body_is_400(client: FlaskClient, media_type: str, body: bytes) -> None:
    response = client.post("/executions", data=body, content_type=media_type)
    assert response.status_code == 400, response.json
    assert response.json is not None
    assert response.json["status"] == "Bad Request"


def test_malformed_text_is_named_by_line_and_column(client: FlaskClient) -> None:
    for media_type, body in (("application/json", '{\n "a": x}'), ("application/yaml", "b: 1\na: b: c")):
        response = client.post("/executions", data=body, content_type=media_type)
        assert "line 2, column" in _message(response)


def test_a_bomb_of_aliases_is_refused_before_it_goes_off(client: FlaskClient) -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 12)]
    response = client.post("/executions", data="\n".join(lines), content_type="application/yaml")
    assert response.status_code == 400
    assert "aliases" in _message(response)


def test_an_alias_within_reason_is_expanded(client: FlaskClient) -> None:
    text = f"""
identifier: p/n
satellites:
- {{name: a, uses: &echo {ECHO}, config: &c {{text: no, at: 2024-01-01, hex: 0x10}}}}
- {{name: b, uses: *echo, config: *c}}
"""
    response = client.post("/executions", data=text, content_type="application/yaml")
    assert response.status_code == 201
    assert response.json is not None
    b = client.get(f"/satellites/{response.json['satellites'][1]['satellite_id']}").json
    assert b is not None
    assert b["config"] == {"text": "no", "at": "2024-01-01", "hex": 16}


@pytest.mark.parametrize("body", ["[]", "null", "1", '"text"', "true"])
def test_a_body_that_is_no_object_is_422(client: FlaskClient, body: str) -> None:
    assert client.post("/executions", data=body, content_type="application/json").status_code == 422
    assert client.post("/executions", data=body, content_type="application/yaml").status_code == 422
    assert client.post("/executions", data="", content_type="application/yaml").status_code == 422


@pytest.mark.parametrize(("value", "path"), [
    ('{"deep": ["ok", "a\\u0000b"]}', "satellites[0].config.deep[1]"),
    ('{"half": "\\ud800"}', "satellites[0].config.half"),
    ('{"\\u0000": 1}', "satellites[0].config.\0"),
    ('{"\\udfff": 1}', "satellites[0].config.\\udfff"),
    ('{"huge": 1e999}', "satellites[0].config.huge"),
])  # fmt: skip
def test_what_the_database_cannot_keep_is_named_by_path(client: FlaskClient, value: str, path: str) -> None:
    body = json.dumps(cluster(satellite("a", config={"X": 0}))).replace('{"X": 0}', value)
    response = client.post("/executions", data=body, content_type="application/json")
    assert response.status_code == 422
    assert _paths(response) == [path]


def test_large_whole_numbers_and_odd_text_come_back_as_they_were_sent(client: FlaskClient) -> None:
    config = {"n": 10**400, "f": 1e300, "t": "\u2028 \U0001f600 \x7f", "": {}, "deep": json.loads("[" * 90 + "]" * 90)}
    response = client.post("/executions", json=cluster(satellite("a\u00e9 b", config=config)))
    assert response.status_code == 201
    assert response.json is not None
    shown = client.get(f"/satellites/{response.json['satellites'][0]['satellite_id']}").json
    assert shown is not None
    assert (shown["name"], shown["config"]) == ("a\u00e9 b", config)


def test_a_submitted_input_wins_over_nothing_and_is_shown(client: FlaskClient) -> None:
    response = client.post("/executions", json=cluster(satellite("a", input={"x": 1})))
    assert response.json is not None
    shown = client.get(f"/satellites/{response.json['satellites'][0]['satellite_id']}").json
    assert shown is not None
    assert shown["input"] == {"x": 1}


def test_work_and_statements_grow_no_faster_than_the_document(client: FlaskClient) -> None:
    def submit(size: int) -> Callable[[], object]:
        many = [satellite(f"s{n}", *([f"s{n - 1}"] if n else []), config={"n": n}) for n in range(size)]
        body = json.dumps(cluster(*many))
        return lambda: client.post("/executions", data=body, content_type="application/json")

    with statements_of(client) as small:
        submit(2)()
    with statements_of(client) as large:
        submit(1000)()
    assert len(large) <= len(small)
    assert growth(submit, 100) < 2.2


@contextmanager
def statements_of(client: FlaskClient) -> Iterator[list[str]]:
    """Collect the SQL statements that the application sends."""
    engine, found = services_of(client.application).engine, []

    def note(*arguments: Any) -> None:
        found.append(arguments[2])

    event.listen(engine, "before_cursor_execute", note)
    try:
        yield found
    finally:
        event.remove(engine, "before_cursor_execute", note)


def _paths(response: TestResponse) -> list[str]:
    answer: dict[str, Any] = response.get_json()
    return [fault["path"] for fault in answer["errors"]]


def _message(response: TestResponse) -> str:
    message: str = response.get_json()["message"]
    return message


def shown_satellite(client: FlaskClient, document: dict[str, Any]) -> Any:
    execution = client.post("/executions", json=document).get_json()
    return client.get(f"/satellites/{execution['satellites'][0]['satellite_id']}").get_json()


def test_satellites_retry_policy_wins_over_its_clusters(client: FlaskClient) -> None:
    one = satellite("a", retry_policy={"max_attempts": 7})
    policy = shown_satellite(client, cluster(one, retry_policy={"max_attempts": 2, "base_delay": 1}))["retry_policy"]
    assert (policy["max_attempts"], policy["base_delay"]) == (7, 1)


def test_satellites_timeout_and_queue_win_over_its_types(client: FlaskClient, engine: Engine) -> None:
    register_types(engine, [SatelliteType("satellite/test/timed", "gpu", timeout_s=60)])
    plain = satellite("a", uses="satellite/test/timed")
    by_type = shown_satellite(client, cluster(plain))
    assert (by_type["timeout"], by_type["queue"]) == (60, "gpu")
    own = shown_satellite(client, cluster(plain | {"timeout": 5, "queue": "satellites"}))
    assert (own["timeout"], own["queue"]) == (5, "satellites")
