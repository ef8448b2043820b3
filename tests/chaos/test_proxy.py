"""The proxy passes everything, and commits the faults that it is told to on connections old and new."""

from __future__ import annotations

import contextlib
import socket
import socketserver
import threading
import time
from typing import TYPE_CHECKING

import pytest

from tests.chaos.proxy import Faults, Proxy
from tests.waiting import until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


class Echo(socketserver.BaseRequestHandler):
    def handle(self) -> None:
        with contextlib.suppress(ConnectionError):
            while data := self.request.recv(4096):
                self.request.sendall(data)


@pytest.fixture(params=["tcp", "unix"])
def proxy(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Proxy]:
    before = set(threading.enumerate())
    path = str(tmp_path / "echo")
    unix = request.param == "unix"
    server = (
        socketserver.ThreadingUnixStreamServer(path, Echo)
        if unix
        else socketserver.ThreadingTCPServer(("127.0.0.1", 0), Echo)
    )
    with server:
        threading.Thread(target=server.serve_forever, args=(0.01,)).start()
        with Proxy(path if unix else server.socket.getsockname()) as proxy:
            yield proxy
        server.shutdown()
    until(lambda: set(threading.enumerate()) <= before, what="every thread has ended")


def connect(proxy: Proxy) -> socket.socket:
    return socket.create_connection(("127.0.0.1", proxy.port), timeout=5)


def receive(client: socket.socket, size: int) -> bytes:
    """Read so much, or less where the connection ends before."""
    received = b""
    while len(received) < size and (more := client.recv(size - len(received))):
        received += more
    return received


def ask(client: socket.socket, data: bytes = b"hello") -> bytes:
    client.sendall(data)
    return receive(client, len(data))


def assert_silent(client: socket.socket) -> None:
    client.settimeout(0.1)
    with pytest.raises(TimeoutError):
        ask(client)


def test_everything_passes_both_ways(proxy: Proxy) -> None:
    whole = bytes(range(256)) * 20_000
    with connect(proxy) as first, connect(proxy) as second:
        sending = threading.Thread(target=second.sendall, args=(whole,))
        sending.start()

        assert ask(first) == b"hello"
        assert receive(second, len(whole)) == whole
        sending.join()
    assert proxy.counts == {"connected": 2}


def test_sender_waits_when_nobody_reads(proxy: Proxy) -> None:
    sent = 0
    with connect(proxy) as client, pytest.raises(TimeoutError):
        client.settimeout(0.2)
        while sent < 100_000_000:
            sent += client.send(bytes(100_000))


def test_delay_holds_up_each_way(proxy: Proxy) -> None:
    with connect(proxy) as client:
        proxy.switch(Faults(there_s=0.05, back_s=0.1))
        started = time.monotonic()

        assert ask(client) == b"hello"

        assert 0.15 <= time.monotonic() - started < 1
        assert proxy.counts["delayed"] == 2


def test_reset_ends_open_connections_and_no_later_ones(proxy: Proxy) -> None:
    with connect(proxy) as first, connect(proxy) as second, connect(proxy):
        assert ask(first) == ask(second) == b"hello"

        proxy.reset()

        for client in (first, second):
            with pytest.raises(ConnectionResetError):
                client.recv(1)
        assert proxy.counts["reset"] >= 2
    with connect(proxy) as client:
        assert ask(client) == b"hello"


def test_refusal_resets_new_connections_alone(proxy: Proxy) -> None:
    with connect(proxy) as old:
        assert ask(old) == b"hello"
        proxy.switch(Faults(refuse=True))

        with pytest.raises(ConnectionError), connect(proxy) as new:
            ask(new)

        assert ask(old) == b"hello"
        assert proxy.counts["refused"] == 1
    proxy.heal()
    with connect(proxy) as client:
        assert ask(client) == b"hello"


def test_black_hole_swallows_what_comes_over_old_and_new_connections(proxy: Proxy) -> None:
    with connect(proxy) as untouched, connect(proxy) as old:
        assert ask(untouched) == ask(old) == b"hello"
        proxy.switch(Faults(black_hole=True))

        with connect(proxy) as new:
            assert_silent(old)
            assert_silent(new)
            assert proxy.counts["swallowed"] == 2
            proxy.heal()

            assert ask(untouched) == b"hello"
            assert_silent(old)
            assert_silent(new)
            proxy.reset()

            with pytest.raises(ConnectionResetError):
                old.recv(1)
            with pytest.raises(ConnectionResetError):
                new.recv(1)


def test_end_of_a_connection_is_told_when_the_black_hole_is_over() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server, Proxy(server.getsockname()) as proxy:
        client = connect(proxy)
        end, _ = server.accept()
        with end:
            end.settimeout(0.1)
            proxy.switch(Faults(black_hole=True))
            client.close()
            with pytest.raises(TimeoutError):
                end.recv(1)

            proxy.heal()

            end.settimeout(5)
            assert end.recv(1) == b""


def test_client_is_reset_when_nobody_listens_behind_the_proxy(tmp_path: Path) -> None:
    with Proxy(str(tmp_path / "nobody")) as proxy, pytest.raises(ConnectionResetError), connect(proxy) as client:
        client.recv(1)


@pytest.mark.parametrize("after", [1, 7])
def test_answer_is_cut_after_so_many_bytes_and_so_many_times(proxy: Proxy, after: int) -> None:
    with connect(proxy) as first, connect(proxy) as second:
        assert ask(first) == ask(second) == b"hello"
        proxy.switch(Faults(cut_after=after, cuts=1))

        first.sendall(b"goodbye and farewell")

        assert receive(first, after) == b"goodbye and farewell"[:after]
        with pytest.raises(ConnectionResetError):
            first.recv(1)
        assert proxy.counts["cut"] == 1
        assert ask(second, b"goodbye and farewell") == b"goodbye and farewell"
