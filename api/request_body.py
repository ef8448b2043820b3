"""Reading of a request's body, with a limit on its size (MAX_BODY_BYTES) and on the time it takes."""

from __future__ import annotations

import socket
import time
from contextlib import contextmanager
from threading import Condition, Thread
from typing import TYPE_CHECKING

from flask import request
from werkzeug.exceptions import BadRequest, ClientDisconnected, RequestEntityTooLarge, RequestTimeout

from api.unread_bodies import BODY_READ

if TYPE_CHECKING:
    from collections.abc import Iterator

WITHIN_S = 120.0
"""Longest time that a body may take to arrive: 16 MiB at one megabit a second."""

LOOK_INTERVAL_S = 1.0
"""Seconds between two checks for bodies that are late."""


def read(allowed_bytes: int) -> bytes:
    """Read the body; raises RequestEntityTooLarge, RequestTimeout, BadRequest."""
    if (request.content_length or 0) > allowed_bytes:
        raise _too_large(allowed_bytes)
    # Werkzeug cuts a body without Content-Length off at its limit and says nothing: so look one byte further.
    request.max_content_length = allowed_bytes + 1
    connection = request.environ.get("gunicorn.socket") or request.environ.get("werkzeug.socket")
    started = time.monotonic()
    try:
        with _deadlines.limited(connection):
            body = request.get_data()
    except (ClientDisconnected, OSError):  # the latter is gunicorn's, of a chunked body
        if time.monotonic() - started >= WITHIN_S:
            raise RequestTimeout(f"the body did not arrive within {WITHIN_S:g} s") from None
        raise BadRequest("the body ended early") from None
    if len(body) > allowed_bytes:
        raise _too_large(allowed_bytes)
    request.environ[BODY_READ] = True
    return body


def _too_large(allowed_bytes: int) -> RequestEntityTooLarge:
    return RequestEntityTooLarge(f"a body has at most {allowed_bytes} bytes (MAX_BODY_BYTES)")


class _Deadlines:
    """Ends the reading of bodies that take too long.

    A timeout of the socket does not: it begins anew with every byte. So one thread, made with the first body, closes
    the receiving side of what is late, and the reader finds the end of the stream.
    """

    def __init__(self) -> None:
        self._reading: dict[object, tuple[float, socket.socket]] = {}
        self._condition = Condition()
        self._thread: Thread | None = None
        self._idle = False

    @contextmanager
    def limited(self, connection: socket.socket | None) -> Iterator[None]:
        """Limit the time that the block may spend on reading from a connection."""
        if connection is None:
            yield
            return
        key = object()
        with self._condition:
            self._reading[key] = time.monotonic() + WITHIN_S, connection
            self._wake()
        try:
            yield
        finally:
            with self._condition:
                del self._reading[key]

    def _wake(self) -> None:
        if self._idle:
            self._condition.notify()
        if self._thread is None:
            thread = Thread(target=self._run, name="body deadlines", daemon=True)
            thread.start()
            self._thread = thread

    def _run(self) -> None:
        while True:
            with self._condition:
                if not self._reading:
                    self._idle = True
                    self._condition.wait()
                    self._idle = False
                now = time.monotonic()
                for due, connection in self._reading.values():
                    if due <= now:
                        _shut_down_reading(connection)
            time.sleep(LOOK_INTERVAL_S)  # not woken by each body, most of which are there at once


def _shut_down_reading(connection: socket.socket) -> None:
    try:
        connection.shutdown(socket.SHUT_RD)
    except OSError:  # it is closed already
        return


_deadlines = _Deadlines()
