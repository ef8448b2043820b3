"""Clients that send their bodies slowly, or do not stop: each is left after a while."""

from __future__ import annotations

import socket
from threading import Thread
from typing import TYPE_CHECKING

import pytest

from api import request_body, unread_bodies
from tests.live.serving import listening

if TYPE_CHECKING:
    from flask.testing import FlaskClient


@pytest.mark.parametrize("sends", [b" " * 1024, b""], ids=["goes on", "is silent"])
def test_client_that_does_not_end_is_left_after_a_while(monkeypatch: pytest.MonkeyPatch, sends: bytes) -> None:
    monkeypatch.setattr(unread_bodies, "LINGER_S", 0.3)
    monkeypatch.setattr(unread_bodies, "QUIET_S", 0.1)
    server, client = socket.socketpair()
    sender = Thread(target=send_for_ever, args=(client, sends), daemon=True)
    with server, client:
        sender.start()
        unread_bodies._discard_the_rest({"gunicorn.socket": server})
    sender.join(10)
    assert not sender.is_alive()


def send_for_ever(client: socket.socket, data: bytes) -> None:
    while data:
        try:
            client.sendall(data)
        except OSError:
            return


def test_body_that_drips_in_is_given_up(client: FlaskClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(request_body, "WITHIN_S", 0.3)
    monkeypatch.setattr(request_body, "LOOK_INTERVAL_S", 0.05)
    with listening(client.application) as port, socket.create_connection(("127.0.0.1", port), timeout=20) as slow:
        slow.sendall(
            b"POST /executions HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n{"
        )
        received = b""
        while part := slow.recv(65536):
            received += part
    assert b" 408 " in received.partition(b"\r\n")[0]
    assert b"the body did not arrive within" in received
