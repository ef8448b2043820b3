"""call-webhook against real servers: what it sends, where it refuses to go, and what its errors say."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
import socket
import time
from typing import TYPE_CHECKING, Any

import pytest
from jsonschema import Draft202012Validator

from exospherehost import ConfigurationError, LogicError, RequeueAfter, TransientError
from tests.files.running import context, run
from tests.http.running import everything_shown, failure
from tests.http.servers import always, answer, serving
from tests.waiting import until
from workers.satellites.call_webhook import SCHEMA, call_webhook

if TYPE_CHECKING:
    from collections.abc import Callable
    from http.server import BaseHTTPRequestHandler

    import trustme

    from tests.http.servers import Received, Server

CANARY = "canary-5309"


def call(config: dict[str, Any], given: dict[str, Any] | None = None) -> Any:
    return run("call-webhook", config, given)


def refusal(config: dict[str, Any]) -> Exception:
    return failure("call-webhook", config)


@pytest.mark.usefixtures("loopback")
def test_request_carries_the_body_and_the_key_and_returns_the_response() -> None:
    with serving(always(201, b'{"id": 7}', Set_Cookie="session=x")) as server:
        config = {"url": server.url("/hook?x=1"), "headers": {"X-Own": "yes"}, "body": {"text": "ü"}}
        output = call(config)
    (received,) = server.received
    assert (received.method, received.path, json.loads(received.body)) == ("POST", "/hook?x=1", {"text": "ü"})
    assert received.headers["content-type"] == "application/json"
    assert received.headers["idempotency-key"] == "s"
    assert received.headers["x-own"] == "yes"
    assert received.headers["host"] == f"127.0.0.1:{server.port}"
    assert (output["status"], output["body"]) == (201, {"id": 7})
    assert output["headers"]["content-type"] == "application/json"
    assert "set-cookie" not in output["headers"]


@pytest.mark.usefixtures("loopback")
def test_input_is_the_body_where_none_is_configured() -> None:
    with serving(always(200)) as server:
        call({"url": server.url()}, {"parse": {"pages": 3}})
        call({"url": server.url(), "method": "GET"}, {"parse": {"pages": 3}})
    assert [one.body for one in server.received] == [b'{"parse":{"pages":3}}', b""]


@pytest.mark.usefixtures("loopback")
def test_signature_is_over_the_time_and_the_body() -> None:
    with serving(always(200)) as server:
        call({"url": server.url(), "body": [1], "signing_secret": CANARY})
    (received,) = server.received
    timestamp, digest = (part.split("=")[1] for part in received.headers["x-exosphere-signature"].split(","))
    signed = timestamp.encode() + b"." + received.body
    assert hmac.compare_digest(digest, hmac.new(CANARY.encode(), signed, hashlib.sha256).hexdigest())
    assert abs(int(timestamp) - time.time()) < 60


@pytest.mark.parametrize(
    ("body", "kind", "parsed"),
    [
        (b"plain \0 \xff", "text/plain", "plain \ufffd \ufffd"),
        (b"{broken", "application/json", "{broken"),
        (b"[1]", "application/problem+json; charset=utf-8", [1]),
        (b"[" * 100_000, "application/json", "[" * 100_000),
    ],
)
@pytest.mark.usefixtures("loopback")
def test_body_of_the_response_is_json_or_text(body: bytes, kind: str, parsed: object) -> None:
    with serving(always(200, body, kind=kind)) as server:
        assert call({"url": server.url()})["body"] == parsed


LOOPBACK = (
    "127.0.0.1", "localhost", "2130706433", "0x7f000001", "0177.0.0.1", "127.1", "[::ffff:127.0.0.1]",
    "0.0.0.0",  # noqa: S104
)  # fmt: skip


@pytest.mark.parametrize("host", LOOPBACK)
def test_loopback_is_refused_however_it_is_written(host: str, allow: Callable[[str], None]) -> None:
    with serving(always(200)) as server:
        error = refusal({"url": server.url(host=host)})
    assert isinstance(error, ConfigurationError)
    assert "ALLOW_PRIVATE_ADDRESSES" in str(error) or "is not a URL" in str(error)  # the octal spelling
    assert server.received == []


@pytest.mark.parametrize("host", ["169.254.169.254", "[fe80::1]", "[64:ff9b::a9fe:a9fe]", "10.0.0.1", "224.0.0.1"])
def test_private_addresses_are_refused(host: str, loopback: None) -> None:
    error = refusal({"url": f"http://{host}/latest/meta-data/"})
    assert isinstance(error, ConfigurationError)
    assert "are not allowed" in str(error)


class Resolver:
    """Answers for `rebind.test` with one list of addresses after the other; the last stays."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *answers: tuple[str, ...]) -> None:
        self.asked = 0
        self._answers = answers
        self._real = socket.getaddrinfo
        monkeypatch.setattr(socket, "getaddrinfo", self)

    def __call__(self, host: Any, port: Any, *rest: Any, **more: Any) -> Any:
        if host not in {"rebind.test", b"rebind.test"}:
            return self._real(host, port, *rest, **more)
        addresses = self._answers[min(self.asked, len(self._answers) - 1)]
        self.asked += 1
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port)) for address in addresses]


def test_connection_goes_to_the_address_that_was_checked(
    allow: Callable[[str], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    allow("127.0.0.2")
    resolver = Resolver(monkeypatch, ("127.0.0.2",), ("127.0.0.1",))
    with (
        serving(always(200, b'"inside"')) as inside,
        serving(always(200, b'"checked"'), address="127.0.0.2", port=inside.port) as checked,
    ):
        assert call({"url": inside.url(host="rebind.test")})["body"] == "checked"
    assert resolver.asked == 1
    assert checked.received[0].headers["host"] == f"rebind.test:{inside.port}"
    assert inside.received == []


def test_name_with_one_refused_address_is_refused(
    allow: Callable[[str], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    allow("127.0.0.2")
    Resolver(monkeypatch, ("127.0.0.2", "127.0.0.1"))
    with serving(always(200), address="127.0.0.2") as server:
        error = refusal({"url": server.url(host="rebind.test")})
    assert isinstance(error, ConfigurationError)
    assert "requests to 127.0.0.1 are not allowed" in str(error)
    assert server.received == []


def test_next_address_of_a_name_is_tried(allow: Callable[[str], None], monkeypatch: pytest.MonkeyPatch) -> None:
    allow("127.0.0.0/8")
    Resolver(monkeypatch, ("127.0.0.3", "127.0.0.2"))
    with serving(always(200, b'"second"'), address="127.0.0.2") as server:
        assert call({"url": server.url(host="rebind.test")})["body"] == "second"


def test_certificate_is_checked_for_the_name_of_the_url(
    loopback: None, trusted: trustme.CA, monkeypatch: pytest.MonkeyPatch
) -> None:
    Resolver(monkeypatch, ("127.0.0.1",))
    with serving(always(200, b'"safe"'), certificate=trusted.issue_cert("rebind.test")) as server:
        assert call({"url": server.url(host="rebind.test")})["body"] == "safe"
        error = refusal({"url": server.url()})
    assert isinstance(error, ConfigurationError)
    assert "the certificate is refused" in str(error)
    assert len(server.received) == 1


def test_certificate_of_an_unknown_authority_is_refused(loopback: None, trusted: trustme.CA) -> None:
    other = type(trusted)()
    with serving(always(200), certificate=other.issue_cert("127.0.0.1")) as server:
        assert isinstance(refusal({"url": server.url()}), ConfigurationError)
    assert server.received == []


@pytest.mark.usefixtures("loopback")
def test_redirect_is_not_followed_by_default() -> None:
    with serving(always(307, Location="/elsewhere")) as server:
        error = refusal({"url": server.url()})
    assert isinstance(error, ConfigurationError)
    assert "307, a redirect that is not followed" in str(error)
    assert len(server.received) == 1


def redirecting(status: int, target: Callable[[], str]) -> Callable[[Received, BaseHTTPRequestHandler], None]:
    """Redirect requests to `/`; answer any other."""

    def answers(received: Received, handler: BaseHTTPRequestHandler) -> None:
        if received.path == "/":
            answer(handler, status, Location=target())
        else:
            answer(handler, 200, b'"there"')

    return answers


@pytest.mark.parametrize(("status", "method"), [(307, "POST"), (308, "POST"), (301, "GET"), (302, "GET"), (303, "GET")])
@pytest.mark.usefixtures("loopback")
def test_redirect_to_the_same_origin_is_followed_where_allowed(status: int, method: str) -> None:
    with serving(redirecting(status, lambda: "/there")) as server:
        config = {"url": server.url(), "body": [1], "headers": {"Authorization": CANARY}, "signing_secret": CANARY}
        assert call({**config, "follow_redirects": "same-origin"})["body"] == "there"
    second = server.received[1]
    assert (second.method, second.body) == (method, b"[1]" if method == "POST" else b"")
    assert second.headers["authorization"] == CANARY
    assert ("x-exosphere-signature" in second.headers) == (method == "POST")


@pytest.mark.usefixtures("loopback")
def test_redirect_elsewhere_is_followed_only_where_any_is_allowed_and_without_credentials() -> None:
    with serving(always(200, b'"there"')) as other, serving(redirecting(307, lambda: other.url("/x"))) as server:
        config = {"url": server.url(), "body": [1], "headers": {"Authorization": CANARY}, "signing_secret": CANARY}
        error = refusal({**config, "follow_redirects": "same-origin"})
        assert "redirects to another origin" in str(error)
        assert other.received == []
        assert call({**config, "follow_redirects": "any"})["body"] == "there"
    assert other.received[0].body == b"[1]"
    assert {"authorization", "x-exosphere-signature"}.isdisjoint(other.received[0].headers)


@pytest.mark.usefixtures("loopback")
def test_redirect_to_a_private_address_is_refused() -> None:
    with (
        serving(always(200), address="127.0.0.2") as other,
        serving(redirecting(307, lambda: other.url("/x"))) as server,
    ):
        error = refusal({"url": server.url(), "follow_redirects": "any"})
    assert isinstance(error, ConfigurationError)
    assert "requests to 127.0.0.2 are not allowed" in str(error)
    assert other.received == []


def test_redirect_from_https_to_http_is_refused(loopback: None, trusted: trustme.CA) -> None:
    answers = redirecting(307, lambda: "http://127.0.0.1/x")
    with serving(answers, certificate=trusted.issue_cert("127.0.0.1")) as server:
        error = refusal({"url": server.url(), "follow_redirects": "any"})
    assert "from https to http" in str(error)


@pytest.mark.parametrize("location", ["file:///etc/passwd", "http://user:x@127.0.0.1/", "gopher://x/"])
@pytest.mark.usefixtures("loopback")
def test_redirect_to_no_usable_url_is_refused(location: str) -> None:
    with serving(always(302, Location=location)) as server:
        error = refusal({"url": server.url(), "follow_redirects": "any"})
    assert isinstance(error, ConfigurationError)
    assert "redirects to what is not a usable URL" in str(error)


@pytest.mark.usefixtures("loopback")
def test_redirects_in_a_circle_end() -> None:
    with serving(always(307, Location="/")) as server:
        error = refusal({"url": server.url(), "follow_redirects": "same-origin"})
    assert "more than 5 redirects" in str(error)
    assert len(server.received) == 6


@pytest.mark.parametrize("status", [429, 503])
@pytest.mark.usefixtures("loopback")
def test_wait_that_a_server_asks_for_is_kept(status: int) -> None:
    with serving(always(status, Retry_After="7")) as server:
        error = refusal({"url": server.url()})
    assert isinstance(error, RequeueAfter)
    assert error.seconds == 7


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (429, TransientError), (503, TransientError), (500, TransientError), (502, TransientError),
        (408, TransientError), (425, TransientError), (409, LogicError), (423, LogicError),
        (400, ConfigurationError), (401, ConfigurationError), (404, ConfigurationError), (422, ConfigurationError),
    ],
)  # fmt: skip
@pytest.mark.usefixtures("loopback")
def test_status_decides_whether_another_attempt_is_made(status: int, kind: type[Exception]) -> None:
    with serving(always(status, CANARY.encode(), X_Token=CANARY)) as server:
        error = refusal({"url": server.url(f"/{CANARY}?{CANARY}"), "headers": {"Authorization": CANARY}})
    assert type(error) is kind
    assert str(status) in str(error)
    assert CANARY not in everything_shown(error)


@pytest.mark.usefixtures("loopback")
def test_expected_statuses_replace_those_of_success() -> None:
    with serving(always(404)) as server:
        assert call({"url": server.url(), "expected_statuses": [404]})["status"] == 404
    with serving(always(200)) as server:
        assert isinstance(refusal({"url": server.url(), "expected_statuses": [202]}), LogicError)


@pytest.mark.usefixtures("loopback")
def test_response_is_bounded() -> None:
    with serving(always(200, b"x" * 100_000, kind="text/plain")) as server:
        config = {"url": server.url()}
        error = refusal({**config, "max_response_bytes": 1000})
        assert isinstance(error, ConfigurationError)
        assert "more than 1000 bytes" in str(error)
        assert call({**config, "max_response_bytes": 0})["body"] == ""
        assert len(call({**config, "max_response_bytes": 100_000})["body"]) == 100_000


def dribble(received: Received, handler: BaseHTTPRequestHandler, server: Callable[[], Server]) -> None:
    """Send a byte now and then, so that no single read times out."""
    handler.send_response(200)
    handler.end_headers()
    while not server().stopping.wait(0.02):
        handler.wfile.write(b"x")


@pytest.mark.usefixtures("loopback")
def test_timeout_is_that_of_the_whole_exchange() -> None:
    with serving(lambda received, handler: dribble(received, handler, lambda: server)) as server:
        error = refusal({"url": server.url(), "timeout": 0.3})
    assert isinstance(error, TransientError)
    assert "no complete answer within 0.3 s" in str(error)


@pytest.mark.usefixtures("loopback")
def test_server_that_is_away_or_hangs_up_is_a_transient_error() -> None:
    with serving(lambda _received, _handler: None) as server:
        assert isinstance(refusal({"url": server.url()}), TransientError)
    assert isinstance(refusal({"url": server.url()}), TransientError)


@pytest.mark.usefixtures("loopback")
def test_name_that_does_not_exist_is_a_transient_error() -> None:
    error = refusal({"url": "http://does-not-exist.invalid/"})
    assert isinstance(error, TransientError)
    assert "does-not-exist.invalid: the name cannot be resolved" in str(error)


@pytest.mark.parametrize(
    "url",
    ["ftp://x/", "http://", "x", "http://user:canary-5309@example.com/", "http://[1::2", "http://a:0/", "file:///x"],
)
def test_url_that_cannot_be_called_is_refused_and_not_shown(url: str, loopback: None) -> None:
    error = refusal({"url": url})
    assert isinstance(error, ConfigurationError)
    assert CANARY not in everything_shown(error)


@pytest.mark.parametrize(
    "headers",
    [{"Host": "x"}, {"content-length": "1"}, {"X-A": "canary-5309\r\nX-B: 1"}, {"X A": "canary-5309"}, {"X": "ü"}],
)
def test_headers_that_would_break_the_request_are_refused(headers: dict[str, str], loopback: None) -> None:
    error = refusal({"url": "http://127.0.0.1:1/", "headers": headers})
    assert isinstance(error, ConfigurationError)
    assert str(error).startswith("headers: ")
    assert CANARY not in everything_shown(error)


@pytest.mark.usefixtures("loopback")
def test_proxy_of_the_environment_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    with serving(always(200, b'"proxy"')) as proxy, serving(always(200, b'"direct"')) as server:
        for name in ("http_proxy", "HTTP_PROXY", "ALL_PROXY"):
            monkeypatch.setenv(name, proxy.url())
        assert call({"url": server.url()})["body"] == "direct"


@pytest.mark.usefixtures("loopback")
def test_nothing_secret_is_logged_even_at_debug(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level("DEBUG"), serving(always(200, CANARY.encode(), X_Token=CANARY)) as server:
        headers = {"Authorization": CANARY}
        call({"url": server.url(f"/{CANARY}"), "headers": headers, "body": CANARY, "signing_secret": CANARY})
    assert "POST http://127.0.0.1" in caplog.text
    assert CANARY not in caplog.text


@pytest.mark.usefixtures("loopback")
def test_interruption_ends_the_request() -> None:
    with serving(lambda received, handler: dribble(received, handler, lambda: server)) as server:

        async def interrupted() -> None:
            running = asyncio.ensure_future(call_webhook(context({"url": server.url()})))
            await asyncio.to_thread(until, lambda: server.received)
            running.cancel()
            await running

        with pytest.raises(asyncio.CancelledError):
            asyncio.run(interrupted())


def test_schema_refuses_what_cannot_be_called() -> None:
    Draft202012Validator.check_schema(SCHEMA)
    valid = Draft202012Validator(SCHEMA).is_valid
    assert valid({"url": "https://example.com", "body": None, "expected_statuses": [200, 404]})
    for wrong in ({}, {"url": ""}, {"url": "x", "method": "get"}, {"url": "x", "timeout": 0}, {"url": "x", "uri": "y"}):
        assert not valid(wrong)
