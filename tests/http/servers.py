"""HTTP servers whose answers a test scripts, also with TLS, and on any address of the loopback network."""

from __future__ import annotations

import ssl
import threading
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

import trustme

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path


@dataclass(frozen=True)
class Received:
    """A request as the server saw it; the names of headers are in lower case."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes


@dataclass
class Server:
    """A running server: where it is, and the requests that it received."""

    address: str
    port: int
    scheme: str
    answers: Callable[[Received, BaseHTTPRequestHandler], None]
    received: list[Received] = field(default_factory=list)
    stopping: threading.Event = field(default_factory=threading.Event)

    def url(self, path: str = "/", host: str | None = None) -> str:
        """Return a URL of this server."""
        return f"{self.scheme}://{host or self.address}:{self.port}{path}"


def answer(
    handler: BaseHTTPRequestHandler, status: int, body: bytes = b"{}", kind: str = "application/json", **headers: str
) -> None:
    """Send a whole answer; underscores in the names of headers are hyphens."""
    handler.send_response(status)
    handler.send_header("Content-Type", kind)
    handler.send_header("Content-Length", str(len(body)))
    for name, text in headers.items():
        handler.send_header(name.replace("_", "-"), text)
    handler.end_headers()
    if handler.command != "HEAD":
        handler.wfile.write(body)


def always(status: int, body: bytes = b"{}", **headers: Any) -> Callable[[Received, BaseHTTPRequestHandler], None]:
    """Answer every request in the same way."""
    return lambda _, handler: answer(handler, status, body, **headers)


class Quiet(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 32
    script: Server

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing: clients that hang up are part of the tests."""


class Handler(BaseHTTPRequestHandler):
    server: Quiet

    def handle_one_request(self) -> None:
        self.raw_requestline = self.rfile.readline(65537)
        if not self.raw_requestline or not self.parse_request():
            self.close_connection = True
            return
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        headers = {name.lower(): text for name, text in self.headers.items()}
        received = Received(self.command, self.path, headers, body)
        self.server.script.received.append(received)
        self.server.script.answers(received, self)
        self.wfile.flush()

    def log_message(self, *_: object) -> None: ...


@contextmanager
def serving(
    answers: Callable[[Received, BaseHTTPRequestHandler], None],
    *,
    address: str = "127.0.0.1",
    port: int = 0,
    certificate: trustme.LeafCert | None = None,
) -> Iterator[Server]:
    """Run a server until the block ends."""
    server = Quiet((address, port), Handler)
    if certificate is not None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        certificate.configure_cert(context)
        server.socket = context.wrap_socket(server.socket, server_side=True)
    scheme = "http" if certificate is None else "https"
    server.script = Server(address, server.server_address[1], scheme, answers)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield server.script
    finally:
        server.script.stopping.set()
        server.shutdown()
        thread.join()
        server.server_close()


def authority(folder: Path) -> tuple[trustme.CA, Path]:
    """Make an authority of certificates, and a file with its certificate."""
    made = trustme.CA()
    file = folder / "authority.pem"
    made.cert_pem.write_to_path(str(file))
    return made, file
