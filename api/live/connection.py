"""A WebSocket connection: flask-sock's and simple-websocket's, made safe for slow, silent and misbehaving clients."""

from __future__ import annotations

import logging
import socket
import time
from collections import deque
from threading import Lock, Thread
from typing import TYPE_CHECKING, Any

from simple_websocket import ConnectionClosed
from wsproto.utilities import LocalProtocolError

from api.live import frames

if TYPE_CHECKING:
    from collections.abc import Mapping
    from threading import Event

    from simple_websocket import Server

PING_EVERY_S = 25.0

SILENCE_S = 60.0
"""Seconds of silence after which a client counts as disconnected: two pings went unanswered."""

CLOSE_WITHIN_S = 2.0
"""Seconds that a client has to answer our close frame before the connection just ends."""

SEND_BUFFER_BYTES = 128 * 1024
"""The kernel's buffer for a client that does not read; by default it grows to megabytes."""

MESSAGE_BYTES = 4096
"""Largest message of a client, which nobody reads; a larger one closes its connection with 1009."""

_log = logging.getLogger(__name__)


class Closed(Exception):
    """The server closes the connection, with a code of RFC 6455 or one of its own, and a reason."""

    def __init__(self, code: int, reason: str) -> None:
        self.code = code
        self.reason = reason
        super().__init__(code, reason)


class Gone(Exception):
    """The client has disconnected."""


class SharedSocket:
    """The socket under a WebSocket, on which the view and simple-websocket's reader both write.

    simple-websocket 1.1.0 takes it that `send` sends everything, which under gevent it does not, and lets a pong cut
    a frame in two.
    """

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self._sending = Lock()
        sock.settimeout(SILENCE_S)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER_BYTES)

    def send(self, data: bytes) -> int:
        """Send all of it; OSError where the client takes nothing of it for `SILENCE_S`."""
        with self._sending:
            rest = memoryview(data)
            while rest:
                rest = rest[self._sock.send(rest) :]
        return len(data)

    def recv(self, size: int) -> bytes:
        """Receive; OSError where nothing comes for `SILENCE_S`."""
        return self._sock.recv(size)

    def close(self) -> None:
        """Close the socket, at once for whoever is sending or receiving."""
        try:
            self._sock.shutdown(socket.SHUT_RDWR)
        except OSError:  # it is closed already
            return
        self._sock.close()


class Reader(Thread):
    """simple-websocket's reader, which tells the view when it ends, whatever ended it: garbage makes it raise."""

    def __init__(self, target: Any) -> None:
        super().__init__(target=target, daemon=True)
        self._websocket: Server = target.__self__

    def run(self) -> None:
        """Read until the connection ends."""
        try:
            super().run()
        except Exception as error:  # noqa: BLE001  (a client can send anything)
            _log.info("a WebSocket client sent what is not understood: %s", error)
        finally:
            self._websocket.connected = False
            self._websocket.event.set()


class Connection:
    """The connection of one client, as its view uses it."""

    def __init__(self, websocket: Server) -> None:
        self._websocket = websocket
        self._ping_at = time.monotonic() + PING_EVERY_S
        websocket.input_buffer = deque(maxlen=1)  # nobody reads what clients send

    @property
    def changed(self) -> Event:
        """The event that feeds set when there is something new, and the reader when the client is gone."""
        event: Event = self._websocket.event
        return event

    def send(self, framed: bytes) -> None:
        """Send frames; raises `Gone`."""
        if not self._websocket.connected:
            raise Gone
        try:
            self._websocket.sock.send(framed)
            if time.monotonic() >= self._ping_at:
                self._ping_at = time.monotonic() + PING_EVERY_S
                self._websocket.sock.send(frames.PING)
        except OSError as error:
            self._websocket.connected = False
            raise Gone from error

    def send_message(self, message: Mapping[str, Any]) -> None:
        """Send a message to this client alone; raises `Gone`."""
        self.send(frames.text(frames.encode(message)))

    def wait(self, seconds: float = PING_EVERY_S) -> None:
        """Wait until `changed` is set, or for some seconds; keep the connection alive meanwhile. Raises `Gone`."""
        self.changed.wait(min(seconds, max(self._ping_at - time.monotonic(), 0)))
        self.changed.clear()
        if not self._websocket.connected:
            raise Gone
        self.send(b"")  # a ping, where one is due

    def close(self, code: int, reason: str) -> None:
        """Close with a code, and let the client answer: what is cut off sooner may cost it the last frames."""
        if self._websocket.connected:
            try:
                self._websocket.close(code, reason)
            except (OSError, ConnectionClosed, LocalProtocolError):  # the client was quicker
                return
            self._websocket.thread.join(CLOSE_WITHIN_S)

    def end(self) -> None:
        """Close the socket, which also ends the reader."""
        self._websocket.sock.close()
