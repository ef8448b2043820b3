"""Clients that are slow, silent or send garbage, from the side of their connection."""

from __future__ import annotations

import socket
from contextlib import contextmanager
from threading import Event, Thread
from typing import TYPE_CHECKING, Any

import pytest

from api.live import connection as connections
from api.live import hub as hubs
from api.live.connection import Reader, SharedSocket
from tests.factories import front, submit
from tests.live.serving import serving
from tests.live.test_clients import request
from tests.store.attempts import claim
from tests.waiting import until

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sqlalchemy import Engine

    from tests.live.serving import Served

SIZE = 4 * 1024 * 1024
PING, TEXT, CLOSE = 0x89, 0x81, 0x88


@contextmanager
def pair() -> Iterator[tuple[SharedSocket, socket.socket]]:
    """Yield the two ends of a connection whose buffers are smaller than what is sent."""
    server, client = socket.socketpair()
    with server, client:
        client.settimeout(20)
        yield SharedSocket(server), client


def received(client: socket.socket, size: int) -> bytes:
    data = bytearray()
    while len(data) < size:
        data += client.recv(65536)
    return bytes(data)


def test_all_of_it_is_sent_however_slowly_it_is_taken() -> None:
    data = bytes(range(256)) * (SIZE // 256)
    with pair() as (server, client):
        sender = Thread(target=server.send, args=(data,))
        sender.start()
        assert received(client, SIZE) == data
        sender.join(10)


def test_what_two_threads_send_is_not_mixed() -> None:
    with pair() as (server, client):
        senders = [Thread(target=server.send, args=(letter * SIZE,)) for letter in (b"a", b"b")]
        for one in senders:
            one.start()
        data = received(client, 2 * SIZE)
        assert data in {b"a" * SIZE + b"b" * SIZE, b"b" * SIZE + b"a" * SIZE}
        for one in senders:
            one.join(10)


def test_client_that_takes_nothing_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "SILENCE_S", 0.1)
    errors: list[OSError] = []

    def send(server: SharedSocket) -> None:
        try:
            server.send(b"x" * SIZE)
        except OSError as error:
            errors.append(error)

    with pair() as (server, _):
        Thread(target=send, args=(server,), daemon=True).start()
        until(lambda: errors, within_s=10, what="it is given up")


def test_reader_that_fails_tells_its_view() -> None:
    class Broken:
        connected, event = True, Event()

        def read(self) -> None:
            raise ValueError("nobody understands this")

    websocket = Broken()
    reader = Reader(websocket.read)
    reader.start()
    reader.join(10)
    assert (websocket.connected, websocket.event.is_set()) == (False, True)


@contextmanager
def raw(served: Served, path: str) -> Iterator[socket.socket]:
    """Open a WebSocket whose frames the test reads and writes itself."""
    with socket.create_connection(("127.0.0.1", served.port), timeout=20) as client:
        client.sendall(request(path))
        head = b""
        while not head.endswith(b"\r\n\r\n"):
            head += client.recv(1)
        assert b" 101 " in head
        yield client


def frames(client: socket.socket) -> Iterator[tuple[int, bytes]]:
    """Read frames to the end of the connection."""
    stream = client.makefile("rb")
    while head := stream.read(2):
        wide = {126: 2, 127: 8}.get(head[1])
        size = int.from_bytes(stream.read(wide), "big") if wide else head[1]
        yield head[0], stream.read(size)


@pytest.fixture
def unpolled(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have the hub wake nobody after its first poll."""
    monkeypatch.setattr(hubs, "POLL_INTERVAL_S", 3600.0)


@pytest.mark.usefixtures("unpolled")
def test_watcher_who_waits_is_pinged(database_uri: str, engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "PING_EVERY_S", 0.05)
    submitted = submit(engine, front(1))
    with serving(database_uri) as served, raw(served, f"/ws/executions/{submitted.execution_id}") as client:
        opcodes = [opcode for (opcode, _), _ in zip(frames(client), range(4), strict=False)]
        assert opcodes == [TEXT, PING, PING, PING]


class Sent:
    """A WebSocket that keeps what is sent."""

    def __init__(self) -> None:
        self.connected, self.sent = True, bytearray()
        self.sock: Any = self
        self.event, self.input_buffer = None, None

    def send(self, data: bytes) -> None:
        self.sent += data


def test_watcher_who_is_sent_events_all_the_time_is_pinged_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "PING_EVERY_S", -1.0)
    websocket: Any = Sent()
    connection = connections.Connection(websocket)
    connection.send(b"one")
    connection.send(b"two")
    assert bytes(websocket.sent) == b"one\x89\x00two\x89\x00"


@pytest.mark.usefixtures("unpolled")
@pytest.mark.parametrize("data", [b"\xff" * 100, b"GET / HTTP/1.1\r\n\r\n"], ids=["bits", "http"])
def test_garbage_ends_the_view_that_waits(
    database_uri: str, engine: Engine, monkeypatch: pytest.MonkeyPatch, data: bytes
) -> None:
    monkeypatch.setattr(connections, "PING_EVERY_S", 3600.0)
    submitted = submit(engine, front(1))
    with serving(database_uri) as served, raw(served, f"/ws/executions/{submitted.execution_id}") as client:
        shown = frames(client)
        assert next(shown)[0] == TEXT
        until(lambda: submitted.execution_id in served.services.hub.watched(), what="it is watched")
        client.sendall(data)
        assert all(opcode == CLOSE for opcode, _ in shown)
        until(lambda: not served.services.hub.watched(), within_s=10, what="its view has ended")


def test_watcher_that_vanishes_is_forgotten_when_it_is_sent_something(
    database_uri: str, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    submitted = submit(engine, front(2))
    with serving(database_uri) as served:
        with raw(served, f"/ws/executions/{submitted.execution_id}"):
            until(lambda: submitted.execution_id in served.services.hub.watched(), what="it is watched")
        claim(engine, submitted, "s0")
        until(lambda: not served.services.hub.watched(), within_s=10, what="its view has ended")
