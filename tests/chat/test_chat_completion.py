"""chat-completion against a real HTTP server that speaks the protocol."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from jsonschema import Draft202012Validator

from exospherehost import ConfigurationError, LogicError, RequeueAfter, TransientError
from tests.files.running import run
from tests.http.conftest import allow, loopback  # noqa: F401  (fixtures)
from tests.http.running import everything_shown, failure
from tests.http.servers import always, answer, serving
from workers.satellites.chat_completion import SCHEMA

if TYPE_CHECKING:
    from collections.abc import Callable
    from http.server import BaseHTTPRequestHandler

    from tests.http.servers import Received, Server

CANARY = "sk-canary-5309"
PERSON = {"type": "object", "properties": {"age": {"type": "integer"}}, "required": ["age"]}
FORMAT = {"type": "json_schema", "json_schema": {"name": "person", "schema": PERSON}}


def completion(content: str) -> bytes:
    choice = {"message": {"role": "assistant", "content": content}, "finish_reason": "stop"}
    usage = {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15}
    return json.dumps({"model": "m-1", "choices": [choice], "usage": usage}).encode()


def config(server: Server, **more: Any) -> dict[str, Any]:
    messages = [{"role": "user", "content": "hello"}]
    return {"base_url": server.url("/v1/"), "api_key": CANARY, "model": "m", "messages": messages, **more}


def answering(*contents: str) -> Callable[[Received, BaseHTTPRequestHandler], None]:
    """Answer one request after the other."""
    left = list(contents)
    return lambda _, handler: answer(handler, 200, completion(left.pop(0)))


@pytest.mark.usefixtures("loopback")
def test_answer_comes_with_its_usage_and_cost() -> None:
    with serving(answering("hi")) as server:
        prices = {"input_per_million": 2, "output_per_million": 10}
        output = run("chat-completion", config(server, temperature=0.5, max_tokens=9, prices=prices))
    (received,) = server.received
    assert received.path == "/v1/chat/completions"
    assert received.headers["authorization"] == f"Bearer {CANARY}"
    sent = json.loads(received.body)
    assert (sent["model"], sent["temperature"], sent["max_tokens"]) == ("m", 0.5, 9)
    assert "api_key" not in sent
    assert output == {
        "content": "hi",
        "value": None,
        "finish_reason": "stop",
        "model": "m-1",
        "usage": {"prompt_tokens": 10, "completion_tokens": 5},
        "cost": 0.00007,
        "requests": 1,
    }


@pytest.mark.usefixtures("loopback")
def test_answer_that_does_not_match_the_schema_is_repaired() -> None:
    with serving(answering('{"age": "x"}', '{"age": 3}')) as server:
        output = run("chat-completion", config(server, response_format=FORMAT))
    assert output["value"] == {"age": 3}
    assert output["requests"] == 2
    assert output["usage"]["prompt_tokens"] == 20
    first, second = (json.loads(one.body)["messages"] for one in server.received)
    assert second[: len(first)] == first
    assert "$.age: 'x' is not of type 'integer'" in second[-1]["content"]
    keys = [one.headers["idempotency-key"] for one in server.received]
    assert keys == ["s-1", "s-2"]


@pytest.mark.usefixtures("loopback")
def test_repairs_are_bounded() -> None:
    with serving(answering(*["no JSON"] * 9)) as server:
        error = failure("chat-completion", config(server, response_format=FORMAT, max_repairs=2))
    assert isinstance(error, LogicError)
    assert "after 3 requests: it is no JSON" in str(error)
    assert len(server.received) == 3


@pytest.mark.parametrize("schema", [{"type": "nonsense"}, {"$ref": "http://127.0.0.1:1/schema"}])
@pytest.mark.usefixtures("loopback")
def test_schema_that_cannot_be_used_is_a_configuration_error(schema: dict[str, Any]) -> None:
    with serving(answering("{}")) as server:
        form = {"type": "json_schema", "json_schema": {"schema": schema}}
        error = failure("chat-completion", config(server, response_format=form))
    assert isinstance(error, ConfigurationError)
    assert "response_format" in str(error)


def events(*documents: object, done: bool = True) -> bytes:
    texts = [json.dumps(one) for one in documents] + ["[DONE]"] * done
    return b"".join(f": ping\r\n\r\ndata: {text}\r\n\r\n".encode() for text in texts)


def delta(text: str, reason: str | None = None) -> dict[str, Any]:
    return {"model": "m-1", "choices": [{"delta": {"content": text}, "finish_reason": reason}]}


STREAM = (delta("Grü"), delta("ße", "stop"), {"choices": [], "usage": {"prompt_tokens": 4, "completion_tokens": 2}})


@pytest.mark.usefixtures("loopback")
def test_stream_is_shown_as_progress() -> None:
    shown: list[str] = []
    with serving(always(200, events(*STREAM), kind="text/event-stream")) as server:
        output = run("chat-completion", config(server, stream=True), report=lambda _, message: shown.append(message))
    assert shown == ["Grü", "Grüße", "Grüße"]
    assert (output["content"], output["finish_reason"]) == ("Grüße", "stop")
    assert output["usage"] == {"prompt_tokens": 4, "completion_tokens": 2}
    assert json.loads(server.received[0].body)["stream_options"] == {"include_usage": True}


def break_off(_: Received, handler: BaseHTTPRequestHandler) -> None:
    """Promise more than is sent."""
    handler.send_response(200)
    handler.send_header("Content-Length", "100000")
    handler.end_headers()
    handler.wfile.write(events(delta("Grü"), done=False))
    handler.close_connection = True


@pytest.mark.parametrize(
    "answers", [break_off, always(200, events(delta("Grü"), done=False)), always(200, events({"error": {"m": CANARY}}))]
)
@pytest.mark.usefixtures("loopback")
def test_stream_that_breaks_in_the_middle_is_a_transient_error(answers: Any) -> None:
    with serving(answers) as server:
        error = failure("chat-completion", config(server, stream=True))
    assert isinstance(error, TransientError)
    assert CANARY not in everything_shown(error)


@pytest.mark.parametrize(
    ("status", "kind"),
    [(401, ConfigurationError), (400, ConfigurationError), (429, TransientError), (500, TransientError)],
)
@pytest.mark.usefixtures("loopback")
def test_status_decides_whether_another_attempt_is_made(status: int, kind: type[Exception]) -> None:
    with serving(always(status, json.dumps({"error": f"wrong key {CANARY}"}).encode())) as server:
        error = failure("chat-completion", config(server))
    assert type(error) is kind
    assert CANARY not in everything_shown(error)


@pytest.mark.usefixtures("loopback")
def test_wait_that_the_server_asks_for_is_kept() -> None:
    with serving(always(429, Retry_After="20")) as server:
        error = failure("chat-completion", config(server))
    assert isinstance(error, RequeueAfter)
    assert error.seconds == 20


@pytest.mark.parametrize("body", [b"no JSON", b"[]", b"{}", b'{"choices": []}', b'{"choices": [{"message": 1}]}'])
@pytest.mark.usefixtures("loopback")
def test_answer_that_is_none_is_a_transient_error(body: bytes) -> None:
    with serving(always(200, body)) as server:
        assert isinstance(failure("chat-completion", config(server)), TransientError)


def test_private_address_is_refused(allow: Callable[[str], None]) -> None:  # noqa: F811
    with serving(answering("hi")) as server:
        error = failure("chat-completion", config(server))
    assert isinstance(error, ConfigurationError)
    assert server.received == []


@pytest.mark.usefixtures("loopback")
def test_key_that_no_header_can_carry_is_refused_and_not_shown() -> None:
    with serving(answering("hi")) as server:
        error = failure("chat-completion", config(server, api_key=f"{CANARY}\r\nX: y"))
    assert isinstance(error, ConfigurationError)
    assert CANARY not in everything_shown(error)


def test_schema_of_the_configuration_is_valid() -> None:
    Draft202012Validator.check_schema(SCHEMA)
    valid = Draft202012Validator(SCHEMA).is_valid
    assert valid({"base_url": "https://x", "model": "m", "messages": [{"role": "user", "content": "x"}]})
    assert not valid({"base_url": "https://x", "model": "m", "messages": []})
