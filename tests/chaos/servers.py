"""A PostgreSQL and a Valkey for one test, as `run.py` has them, which the test kills, stops and starts again."""

from __future__ import annotations

import contextlib
import os
import signal
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import psutil

from local.postgres import postgres
from local.processes import kill_group, spawn
from local.valkey import valkey
from state_manager.store.migrate import migrate
from tests.system import System
from tests.waiting import until

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Iterator

    from local.embedded_server import EmbeddedServer

STOPPED_BY = {"postgres": signal.SIGINT, "valkey": signal.SIGTERM}
"""The signal that ends each in good order at once: PostgreSQL's is its fast shutdown."""


class KillableServer:
    """A server that a test kills, stops and pauses; its data stays."""

    def __init__(self, server: EmbeddedServer, home: Path) -> None:
        self.uri = server.uri
        self._server = server
        self._home = home
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it, and wait until it answers."""
        self._process = spawn(self._server.part, self._home)
        until(self._comes_up, what=f"{self._server.part.name} answers")

    def kill(self) -> None:
        """Kill it and its children, at once."""
        self._signal(signal.SIGKILL)
        self._end()

    def stop(self) -> None:
        """End it in good order."""
        if self._process is not None and self._process.poll() is None:
            self._process.send_signal(STOPPED_BY[self._server.part.name])
            self._process.wait(30)
        self._end()

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Stop its processes by SIGSTOP while this block runs: connections are accepted and never answered."""
        self._signal(signal.SIGSTOP)
        try:
            yield
        finally:
            self._signal(signal.SIGCONT)

    @contextmanager
    def killed(self) -> Iterator[None]:
        """Kill it, and start it again after this block."""
        self.kill()
        try:
            yield
        finally:
            self.start()

    def _comes_up(self) -> bool:
        """Tell whether it answers; start it once more where it died because another still held its data."""
        assert self._process is not None
        if self._process.poll() is not None:
            self._process = spawn(self._server.part, self._home)
        return self._server.accepts_clients()

    def _signal(self, number: signal.Signals) -> None:
        assert self._process is not None
        leader = psutil.Process(self._process.pid)
        for process in (leader, *leader.children(recursive=True)):
            with contextlib.suppress(psutil.NoSuchProcess):
                process.send_signal(number)

    def _end(self) -> None:
        if self._process is not None:
            kill_group(self._process.pid)
            self._process.wait()


class KillableSystem(System):
    """A system of which a test can kill PostgreSQL and Redis too."""

    def __init__(self, postgres: KillableServer, valkey: KillableServer, environment: dict[str, str]) -> None:
        super().__init__(postgres.uri, valkey.uri, **environment)
        self.postgres = postgres
        self.valkey = valkey


@contextmanager
def fresh_killable_system(**environment: str) -> Iterator[KillableSystem]:
    """Start a PostgreSQL and a Valkey, and yield a system on them; start its parts next."""
    with tempfile.TemporaryDirectory(prefix="exo-system-", ignore_cleanup_errors=True) as folder:
        home = Path(folder)
        database = KillableServer(postgres(home, os.environ), home)
        broker = KillableServer(valkey(home, os.environ), home)
        try:
            database.start()
            broker.start()
            migrate(database.uri)
            with KillableSystem(database, broker, environment) as system:
                yield system
        finally:
            broker.stop()
            database.stop()
