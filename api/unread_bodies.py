"""A lingering close, as WSGI middleware: a response reaches its client although the request's body was not read."""

from __future__ import annotations

import socket
import time
from functools import partial
from typing import TYPE_CHECKING, Any

from werkzeug.wsgi import ClosingIterator

if TYPE_CHECKING:
    from collections.abc import Iterable
    from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

LINGER_S = 30.0
"""Longest time that a client may go on sending after its response."""

QUIET_S = 2.0
"""Longest time that it may send nothing meanwhile."""

BODY_READ = "exosphere.body_read"
"""Set in the environment of a request whose body was read to its end."""

_DISCARDED_AT_ONCE = 64 * 1024


class LingeringClose:
    """Closes a connection only after what its client still sends was taken, and discarded.

    A socket that is closed with unread data is reset. The client, which is still sending, then loses a response that
    it has not read yet: a 413 looked like a broken connection. So the response is sent at once, and says that the
    connection ends; what still comes is discarded, for a limited time.
    """

    def __init__(self, application: WSGIApplication) -> None:
        self._application = application

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """Answer a request."""
        if not _has_body(environ):
            return self._application(environ, start_response)

        def start(status: str, headers: list[tuple[str, str]], *error: Any) -> Any:
            if BODY_READ not in environ:
                headers = [*headers, ("Connection", "close")]
                _have_gunicorn_close(start_response)
            return start_response(status, headers, *error)

        return ClosingIterator(self._application(environ, start), [partial(_discard_the_rest, environ)])


def _has_body(environ: WSGIEnvironment) -> bool:
    return environ.get("CONTENT_LENGTH") not in {None, "", "0"} or "HTTP_TRANSFER_ENCODING" in environ


def _have_gunicorn_close(start_response: StartResponse) -> None:
    """Tell gunicorn's own response, of which `start_response` is a method: it drops an application's `Connection`."""
    force_close = getattr(getattr(start_response, "__self__", None), "force_close", None)
    if force_close is not None:
        force_close()


def _discard_the_rest(environ: WSGIEnvironment) -> None:
    """End our side of the connection, then receive until the client ends its own."""
    connection: socket.socket | None = environ.get("gunicorn.socket") or environ.get("werkzeug.socket")
    if BODY_READ in environ or connection is None:
        return
    buffer = bytearray(_DISCARDED_AT_ONCE)
    deadline = time.monotonic() + LINGER_S
    try:
        connection.shutdown(socket.SHUT_WR)
        while (left_s := deadline - time.monotonic()) > 0:
            connection.settimeout(min(left_s, QUIET_S))
            if not connection.recv_into(buffer):
                return
    except OSError:  # the client is gone, or says nothing any more
        return
