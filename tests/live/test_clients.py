"""Clients that misbehave: the server stays up, and others notice nothing."""

from __future__ import annotations

import json
import os
import socket
import struct
from contextlib import ExitStack
from http.client import HTTPConnection
from typing import TYPE_CHECKING, Any
from uuid import UUID

import psutil
import pytest
import redis
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

from state_manager.store import executions
from tests.chaos.load import chain
from tests.live.watching import watched, watching
from tests.waiting import until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.system import System

HANDSHAKE = {
    "Host": "localhost",
    "Upgrade": "websocket",
    "Connection": "Upgrade",
    "Sec-WebSocket-Version": "13",
    "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
}
METRICS = "/ws/system/metrics"
MEBIBYTE = 1024 * 1024


def tcp(system: System, *, receive_buffer: int | None = None) -> socket.socket:
    connection = socket.socket()
    if receive_buffer:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
    connection.settimeout(20)
    connection.connect(("127.0.0.1", system.port))
    return connection


def request(path: str) -> bytes:
    """Write a handshake."""
    lines = [f"{name}: {value}" for name, value in HANDSHAKE.items()]
    return "\r\n".join([f"GET {path} HTTP/1.1", *lines, "", ""]).encode()


@pytest.fixture(autouse=True)
def others_notice_nothing(system: System) -> Iterator[None]:
    """Hold that a well-behaved watcher, and the API, do as ever beside every test here."""
    with connect(f"ws://127.0.0.1:{system.port}{METRICS}") as other:
        assert json.loads(other.recv(timeout=10))["seq"] == 1
        yield
        assert json.loads(other.recv(timeout=10))["seq"] == 2
    execution_id = system.submit(*chain(3, 0.01))
    assert watched(system, f"/ws/executions/{execution_id}").closed == (1000, "")
    assert system.api is not None
    assert system.api.returncode is None


@pytest.mark.parametrize(
    "headers",
    [
        {"Upgrade": "h2c"},
        {"Upgrade": None},
        {"Connection": "close"},
        {"Sec_WebSocket_Version": None},
        {"Sec_WebSocket_Version": "8"},
        {"Sec_WebSocket_Key": None},
    ],
    ids=str,
)
def test_wrong_upgrade_is_refused(system: System, headers: dict[str, str | None]) -> None:
    wanted = HANDSHAKE | {name.replace("_", "-"): value for name, value in headers.items()}
    connection = HTTPConnection("127.0.0.1", system.port, timeout=10)
    connection.request("GET", METRICS, headers={name: value for name, value in wanted.items() if value is not None})
    answer = connection.getresponse()
    assert json.load(answer)["code"] == answer.status == 400
    connection.close()


def test_message_of_a_megabyte_closes_with_1009(system: System) -> None:
    with connect(f"ws://127.0.0.1:{system.port}{METRICS}") as connection:
        connection.recv(timeout=10)
        with pytest.raises(ConnectionClosed):
            connection.send("x" * MEBIBYTE)
            while True:
                connection.recv(timeout=10)
        assert connection.close_code == 1009


@pytest.mark.parametrize("size", [1, 100, 100_000])
def test_garbage_ends_the_connection(system: System, size: int) -> None:
    with connect(f"ws://127.0.0.1:{system.port}{METRICS}") as connection:
        connection.recv(timeout=10)
        connection.socket.sendall(b"\xff" + os.urandom(size) + b"\xff" * 20)
        with pytest.raises(ConnectionClosed):
            while True:
                connection.recv(timeout=10)
        assert connection.close_code in {1002, 1006, 1009}


def test_client_that_talks_all_the_time_is_not_listened_to(system: System) -> None:
    execution_id = system.submit(*chain(5, 0.1))
    with watching(system, f"/ws/executions/{execution_id}") as watch:
        for _ in range(2_000):
            watch.connection.send("are we there yet?")
        watch.connection.ping().wait(10)
        watch.to_the_end()
    assert watch.closed == (1000, "")


def test_client_that_vanishes_is_forgotten(system: System, tmp_path: Path) -> None:
    wait = {"name": "gate", "uses": "satellite/test/wait", "config": {"file": str(tmp_path / "open")}}
    execution_id = system.submit(wait)
    with ExitStack() as clients:
        for _ in range(50):
            one = clients.enter_context(tcp(system))
            one.sendall(request(f"/ws/executions/{execution_id}"))
            assert b" 101 " in one.recv(15)
            one.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))  # goodbye by a reset
        assert open_sockets(system) >= 50
    until(lambda: open_sockets(system) < 50, what="they are forgotten")
    (tmp_path / "open").touch()
    system.wait(execution_id)


def test_thousand_half_open_connections_are_borne(system: System) -> None:
    with ExitStack() as clients:
        for at in range(1_000):
            one = clients.enter_context(tcp(system))
            one.sendall(request(METRICS)[: at % 100])
        execution_id = system.submit(*chain(3, 0.01))
        assert watched(system, f"/ws/executions/{execution_id}").closed == (1000, "")
    until(lambda: open_sockets(system) < 100, what="all are forgotten")


def test_reader_that_stops_is_closed_with_1013_and_resumes(system: System, tmp_path: Path) -> None:
    gate = {"name": "gate", "uses": "satellite/test/wait", "config": {"file": str(tmp_path / "open")}}
    # Failures whose errors are long: some nine megabytes of events, behind a snapshot that the socket's buffer takes.
    fail = {"uses": "satellite/test/fail", "config": {"message": "x" * 9_000}, "dependencies": ["gate"], "retries": 0}
    execution_id = system.submit(gate, *({"name": f"fail-{at}", **fail} for at in range(500)))
    with tcp(system, receive_buffer=8192) as reader:
        reader.sendall(request(f"/ws/executions/{execution_id}"))
        assert b" 101 " in reader.recv(15)
        listened = redis.Redis.from_url(system.redis_uri)
        until(lambda: listened.pubsub_channels(f"*{execution_id}"), what="it has its snapshot, and is to be told more")
        before = memory(system)
        (tmp_path / "open").touch()
        # Not over the API: what it would read for this test is larger than what it keeps for the reader.
        until(lambda: has_failed(system, execution_id), within_s=60, what="all have failed")
        assert memory(system) - before < 64 * MEBIBYTE
        payloads = list(frames_of(reader))
    assert payloads[-1][0] == 0x88
    assert int.from_bytes(payloads[-1][1][:2], "big") == 1013
    messages = [json.loads(payload) for opcode, payload in payloads[:-1] if opcode == 0x81]
    events = [event for message in messages[1:] for event in message.get("events", [message])]
    seqs = [event["seq"] for event in events]
    first = messages[0]["seq"] + 1
    assert seqs == list(range(first, first + len(seqs)))
    rest = watched(system, f"/ws/executions/{execution_id}?since={seqs[-1] if seqs else first - 1}")
    assert [*seqs, *rest.seqs] == list(range(first, system.execution(execution_id)["seq"] + 1))
    assert rest.closed == (1000, "")


def has_failed(system: System, execution_id: str) -> bool:
    row = executions.progress(system.engine, UUID(execution_id))
    return row is not None and row.status == "failed"


def frames_of(connection: socket.socket) -> Iterator[tuple[int, bytes]]:
    """Read frames, the head of the answer before them skipped, to the end of the connection."""
    stream = connection.makefile("rb")
    while stream.readline().strip():
        pass
    while head := stream.read(2):
        length = {
            126: lambda: int.from_bytes(stream.read(2), "big"),
            127: lambda: int.from_bytes(stream.read(8), "big"),
        }
        size = length[head[1]]() if head[1] in length else head[1]
        yield head[0], stream.read(size)


def api_processes(system: System) -> list[psutil.Process]:
    assert system.api is not None
    return psutil.Process(system.api.pid).children(recursive=True)


def memory(system: System) -> int:
    return sum(one.memory_info().rss for one in api_processes(system))


def open_sockets(system: System) -> int:
    """Count the API's connections with clients."""
    found: list[Any] = [one for api in api_processes(system) for one in api.net_connections("tcp")]
    return sum(1 for one in found if one.laddr.port == system.port and one.status != "LISTEN")
