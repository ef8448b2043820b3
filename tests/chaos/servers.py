"""A PostgreSQL and a Valkey of a test's own, as `run.py` has them, to be killed, stopped and started again."""

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
"""What ends each in good order at once: PostgreSQL's is its fast shutdown."""


class Killable:
    """A server whose process a test does with as it likes; its data stays."""

    def __init__(self, server: EmbeddedServer, home: Path) -> None:
        self.uri = server.uri
        self._server = server
        self._home = home
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it, and wait until it responses."""
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
        """Let nothing of it run while this block does: it takes connections, and says nothing."""
        self._signal(signal.SIGSTOP)
        try:
            yield
        finally:
            self._signal(signal.SIGCONT)

    @contextmanager
    def away(self) -> Iterator[None]:
        """Kill it, and start it again after this block."""
        self.kill()
        try:
            yield
        finally:
            self.start()

    def _comes_up(self) -> bool:
        """Tell whether it answers; what died because another still held its data is started once more."""
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


class Site(System):
    """A system whose servers can fail too."""

    def __init__(self, postgres: Killable, valkey: Killable, environment: dict[str, str]) -> None:
        super().__init__(postgres.uri, valkey.uri, **environment)
        self.postgres = postgres
        self.valkey = valkey


@contextmanager
def fresh_site(**environment: str) -> Iterator[Site]:
    """Yield a system with servers of its own, which run; none of its other parts is started yet."""
    with tempfile.TemporaryDirectory(prefix="exo-site-", ignore_cleanup_errors=True) as folder:
        home = Path(folder)
        database = Killable(postgres(home, os.environ), home)
        broker = Killable(valkey(home, os.environ), home)
        try:
            database.start()
            broker.start()
            migrate(database.uri)
            with Site(database, broker, environment) as site:
                yield site
        finally:
            broker.stop()
            database.stop()
