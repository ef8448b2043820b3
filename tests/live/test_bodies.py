"""Bodies that are too large, cut off, or not wanted, through gunicorn: their clients get an answer all the same."""

from __future__ import annotations

import json
import socket
import urllib.error
import urllib.request
from http.client import HTTPConnection
from typing import TYPE_CHECKING, Any

import psutil
import pytest

from tests.chaos.load import chain

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.system import System

MEBIBYTE = 1024 * 1024
SIZE = 100 * MEBIBYTE
JSON_TYPE = {"Content-Type": "application/json"}


def blocks() -> Iterator[bytes]:
    """Make a body of 100 MiB, without holding it."""
    block = b" " * MEBIBYTE
    for _ in range(SIZE // MEBIBYTE):
        yield block


def assert_too_large(status: int, shown: Any) -> None:
    assert status == 413
    assert shown["code"] == 413
    assert "MAX_BODY_BYTES" in shown["message"]


@pytest.mark.parametrize("framing", [{"Content-Length": str(SIZE)}, {"Transfer-Encoding": "chunked"}], ids=str)
def test_body_far_over_the_limit_is_answered_and_not_kept(system: System, framing: dict[str, str]) -> None:
    assert system.api is not None
    processes = psutil.Process(system.api.pid).children(recursive=True)
    before = sum(one.memory_info().rss for one in processes)
    connection = HTTPConnection("127.0.0.1", system.port, timeout=60)
    chunked = "Transfer-Encoding" in framing
    connection.request("POST", "/executions", body=blocks(), headers=JSON_TYPE | framing, encode_chunked=chunked)
    response = connection.getresponse()
    assert_too_large(response.status, json.load(response))
    assert response.headers["Connection"] == "close"
    connection.close()
    assert sum(one.memory_info().rss for one in processes) - before < 64 * MEBIBYTE


@pytest.mark.parametrize(("path", "status"), [("/executions", 413), ("/nowhere", 404), ("/state/health", 405)])
def test_urllib_shows_the_answer_to_a_body_that_is_not_read(system: System, path: str, status: int) -> None:
    body = b" " * SIZE
    request = urllib.request.Request(f"http://127.0.0.1:{system.port}{path}", body, JSON_TYPE)
    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(request, timeout=60)  # noqa: S310
    assert refused.value.code == status
    assert json.load(refused.value)["code"] == status


def test_answer_comes_before_the_body_and_then_the_end(system: System) -> None:
    with socket.create_connection(("127.0.0.1", system.port), timeout=20) as client:
        client.sendall(
            f"POST /executions HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
            f"Content-Length: {SIZE}\r\n\r\n".encode()
        )
        client.sendall(b" " * MEBIBYTE)
        received = b""
        while part := client.recv(65536):
            received += part
        client.sendall(b" " * MEBIBYTE)  # no reset: what still comes is taken
    head, _, body = received.partition(b"\r\n\r\n")
    assert_too_large(int(head.split()[1]), json.loads(body))


def test_connection_is_kept_after_a_body_that_was_read(system: System) -> None:
    connection = HTTPConnection("127.0.0.1", system.port, timeout=20)
    for document in ({"identifier": "p/n", "satellites": chain(1, 0)}, {}):
        connection.request("POST", "/executions", body=json.dumps(document), headers=JSON_TYPE)
        response = connection.getresponse()
        assert response.status in {201, 422}
        assert response.read()
        assert not response.will_close
    connection.close()


def test_body_that_ends_early_is_400(system: System) -> None:
    for framing, body in ((b"Content-Length: 100", b"{"), (b"Transfer-Encoding: chunked", b"5\r\n{")):
        with socket.create_connection(("127.0.0.1", system.port), timeout=20) as client:
            head = b"POST /executions HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
            client.sendall(head + framing + b"\r\n\r\n" + body)
            client.shutdown(socket.SHUT_WR)
            received = b""
            while part := client.recv(65536):
                received += part
        assert b" 400 " in received.partition(b"\r\n")[0]
