"""This project as one of the benchmarked systems; each run ends with a check of the store's invariants."""

from __future__ import annotations

import json
import time
import tomllib
import uuid
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import cached_property
from typing import TYPE_CHECKING
from urllib.parse import urlencode

from sqlalchemy import text

from benchmarks.clusters import satellites_of
from benchmarks.server import POLL_S, ROOT, Server, state_manager
from benchmarks.workloads import Shape
from state_manager.store.engine import connect
from tests.store.invariants import assert_admission_is_right, assert_sound

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from sqlalchemy import Engine

    from benchmarks.workloads import Workload

CLIENTS = 4
"""Threads that submit at once."""


class Ours:
    """A State Manager that runs workloads."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self.pids = [server.pid]
        self.version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]

    def run(self, workload: Workload) -> float:
        """Return the seconds until the client sees the end; then check the invariants of the rows."""
        if workload.shape is Shape.DIAMONDS:
            seconds, ids = self._run_many(workload)
        else:
            satellites = satellites_of(workload)
            started = time.perf_counter()
            ids = [self.server.submit(satellites)]
            self.server.wait(ids[0], len(satellites))
            seconds = time.perf_counter() - started
        for one in ids:
            assert_sound(self.engine, uuid.UUID(one))
        assert_admission_is_right(self.engine)
        return seconds

    def _run_many(self, workload: Workload) -> tuple[float, list[str]]:
        identifier = f"bench/{uuid.uuid4()}"
        body = json.dumps({"identifier": identifier, "satellites": satellites_of(workload)}).encode()

        def submit(_: int) -> str:
            return str(self.server.call("/executions", body)["execution_id"])

        with ThreadPoolExecutor(CLIENTS) as clients:
            started = time.perf_counter()
            ids = list(clients.map(submit, range(workload.size)))
            # In this order: an execution that is not pending any more may be running, never the other way round.
            for status in ("pending", "running"):
                while self._some(identifier, status):
                    time.sleep(POLL_S)
            seconds = time.perf_counter() - started
        assert not any(self._some(identifier, status) for status in ("failed", "cancelled"))
        return seconds, ids

    def _some(self, identifier: str, status: str) -> bool:
        query = urlencode({"cluster_id": identifier, "status": status, "limit": 1})
        return bool(self.server.call(f"/executions?{query}")["items"])

    def assert_it_is_durable(self) -> None:
        """Assert that a commit waits for the disk."""
        with self.engine.connect() as connection:
            found = connection.execute(text("SELECT current_setting('fsync'), current_setting('synchronous_commit')"))
            assert tuple(found.one()) == ("on", "on")

    @cached_property
    def engine(self) -> Engine:
        """The database behind it, for the checker."""
        return connect(self.server.database_uri, pool_size=1)


@contextmanager
def start(workers: int = 2, home: Path | None = None) -> Iterator[Ours]:
    """Start a State Manager with this many worker children and the benchmark's satellites, else at its defaults."""
    with state_manager(workers=workers, home=home, SATELLITE_MODULES="benchmarks.satellites") as server:
        ours = Ours(server)
        try:
            ours.assert_it_is_durable()
            yield ours
        finally:
            ours.engine.dispose()
