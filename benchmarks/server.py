"""A State Manager started by `run.py` for a benchmark, and an HTTP client of its API."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import contextmanager, suppress
from http import HTTPStatus
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any
from urllib.error import HTTPError
from urllib.parse import urlsplit

from benchmarks import websocket
from state_manager.config import table

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parent.parent
FINISHED = {"completed", "failed", "cancelled"}
POLL_S = 0.005
ANSWER_WITHIN_S = 120.0
IDLE_S = 1.0
"""Idle seconds after which a connection is not used again: gunicorn closes one after two seconds."""


class Server:
    """A State Manager on this machine, over connections that are kept, one a thread."""

    def __init__(self, uri: str, database_uri: str = "", pid: int = 0) -> None:
        self.database_uri = database_uri
        self.pid = pid
        self.uri = uri
        self._here = threading.local()

    def run(self, satellites: list[dict[str, Any]]) -> float:
        """Return the seconds from a submission to the moment that a client sees its end."""
        started = time.perf_counter()
        self.wait(self.submit(satellites), len(satellites))
        return time.perf_counter() - started

    def submit(self, satellites: list[dict[str, Any]], identifier: str = "bench/engine") -> str:
        """Submit a cluster, and return the execution's id."""
        body = json.dumps({"identifier": identifier, "satellites": satellites}).encode()
        return str(self.call("/executions", body)["execution_id"])

    def wait(self, execution_id: str, total: int) -> None:
        """Wait until an execution of so many satellites, none of them tried twice, has completed."""
        *_, last = websocket.events(self.uri, f"/ws/executions/{execution_id}?since=1")
        assert last["status"] == "completed", last
        assert last["seq"] >= 2 * total + 3, (
            last
        )  # and two more for each that waited behind a long one, and was released

    def call(self, path: str, body: bytes | None = None) -> dict[str, Any]:
        """Send a request, a POST where it has a body, and return the answer.

        Raises `HTTPError` where the answer is a refusal, another `OSError` where there is none.
        """
        connection = self._connection()
        try:
            connection.request(
                "GET" if body is None else "POST", path, body, {"Content-Type": "application/json"} if body else {}
            )
            answer = connection.getresponse()
            text = answer.read()
        except (OSError, HTTPException) as lost:
            self._here.used_at = 0.0
            raise ConnectionError(str(lost)) from lost
        if answer.status >= HTTPStatus.BAD_REQUEST:
            raise HTTPError(self.uri + path, answer.status, text.decode(errors="replace"), answer.headers, None)
        self._here.used_at = time.monotonic()
        return dict(json.loads(text))

    def _connection(self) -> HTTPConnection:
        if time.monotonic() - getattr(self._here, "used_at", 0.0) > IDLE_S:
            address = urlsplit(self.uri)
            self._here.connection = HTTPConnection(address.hostname or "", address.port, timeout=ANSWER_WITHIN_S)
        connection: HTTPConnection = self._here.connection
        return connection


@contextmanager
def state_manager(*, workers: int = 2, home: Path | None = None, **environment: str) -> Iterator[Server]:
    """Start a State Manager by `run.py`, by default on a home of its own; stop it when the block ends."""
    port = str(free_port())
    with tempfile.TemporaryDirectory(prefix="bench-", ignore_cleanup_errors=True) as folder:
        settings = {"PORT": port, "EXOSPHERE_HOME": str(home or folder), **environment}
        run = (str(ROOT / "run.py"), "--workers", str(workers))
        log = Path(folder) / "log"
        with (
            log.open("w") as errors,
            process(*run, cwd=folder, stderr=errors, **settings) as running,
        ):
            assert running.stdout is not None
            line = running.stdout.readline()
            if not line.startswith("ready on "):
                raise RuntimeError(f"it did not start: {line}{log.read_text()[-2000:]}")
            named = re.search(r"database on (\S+)", log.read_text())
            yield Server(line.split()[-1], named[1] if named else "", running.pid)


def free_port() -> int:
    """Return a port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def process(*command: str, cwd: str, stderr: IO[str], **settings: str) -> Iterator[subprocess.Popen[str]]:
    """Run a Python program until the block ends; no setting of ours reaches it but these."""
    ours = {declared.env for _, declared in table()} | {"CONFIG_FILE"}
    environment = {name: value for name, value in os.environ.items() if name not in ours} | settings
    running = subprocess.Popen(
        [sys.executable, *command], cwd=cwd, env=environment, stdout=subprocess.PIPE, stderr=stderr, text=True
    )
    try:
        yield running
    finally:
        running.send_signal(signal.SIGTERM)
        with suppress(subprocess.TimeoutExpired):
            running.wait(30)
        running.kill()
