"""A whole system for a test: workers, beat and an API as processes, and the requests of a client."""

from __future__ import annotations

import base64
import json
import urllib.error
import urllib.request
from contextlib import ExitStack, contextmanager
from datetime import timedelta
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from sqlalchemy import select

from state_manager.store import workers
from state_manager.store.engine import connect
from state_manager.store.tables import executions
from tests.processes import Process, free_port, python
from tests.services import fresh_database, fresh_redis
from tests.waiting import until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import TracebackType
    from typing import Self
    from uuid import UUID

FINISHED = {"completed", "failed", "cancelled"}
SECRETS_KEY = base64.b64encode(bytes(range(32))).decode()
START_S = 90.0
"""Longest time that a process may take to start: a minute was seen where nine others ran on each core."""
_UNFINISHED = select(executions.c.id).where(executions.c.status.in_(["pending", "running"]))


@contextmanager
def fresh_system(postgres: str, template: str, **environment: str) -> Iterator[System]:
    """Yield a system with a database and a Redis of its own; start its parts next."""
    with (
        fresh_database(postgres, template) as database_uri,
        fresh_redis() as redis_uri,
        System(database_uri, redis_uri, **environment) as system,
    ):
        yield system


class System:
    """The processes that a test started around one database and one Redis."""

    def __init__(self, database_uri: str, redis_uri: str, **environment: str) -> None:
        self._stack = ExitStack()
        self.database_uri = database_uri
        self.redis_uri = redis_uri
        self.engine = connect(database_uri)
        self.environment = {
            "DATABASE_URI": database_uri,
            "REDIS_URI": redis_uri,
            "LOG_LEVEL": "info",
            "SATELLITE_MODULES": "tests.satellites",
            "EXOSPHERE_HOME": self._stack.enter_context(
                TemporaryDirectory(prefix="exo-home-", ignore_cleanup_errors=True)
            ),
            "SECRETS_KEY": SECRETS_KEY,
            **environment,
        }
        self._port = 0
        self.api: Process | None = None

    def __enter__(self) -> Self:
        self._stack.callback(self.engine.dispose)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.__exit__(kind, error, trace)

    def start(self, *command: str, **environment: str) -> Process:
        """Start any part with this system's environment."""
        return self._stack.enter_context(Process(python(*command), self.environment | environment))

    def start_everything(self, *worker_options: str) -> None:
        """Start a worker, beat and the API side by side, and wait until all of them are ready."""
        known = self._worker_ids()
        worker = self.launch_worker(*worker_options)
        self.start_beat()
        self.api = self.launch_api()
        self._wait_for_worker(worker, known)
        self._wait_for_api(self.api)

    def start_worker(self, *options: str, **environment: str) -> Process:
        """Start a worker, and wait until it takes messages."""
        known = self._worker_ids()
        worker = self.launch_worker(*options, **environment)
        self._wait_for_worker(worker, known)
        return worker

    def launch_worker(self, *options: str, **environment: str) -> Process:
        """Start a worker with two children."""
        return self.start(
            "-m", "workers", "worker", "-c", "2", "-n", f"w{free_port()}@%h",
            "--without-mingle", "--without-gossip", *options,
            **environment,
        )  # fmt: skip

    def start_beat(self, **environment: str) -> Process:
        """Start beat, which runs the reconciler."""
        return self.start("-m", "workers", "beat", **environment)

    def start_api(self, **environment: str) -> Process:
        """Start the API, and wait until it answers."""
        self.api = self.launch_api(**environment)
        self._wait_for_api(self.api)
        return self.api

    def launch_api(self, **environment: str) -> Process:
        """Start the API, always on the same port."""
        self._port = self._port or free_port()
        return self.start(
            "-m", "gunicorn", "-b", f"127.0.0.1:{self._port}", "api.app:create_app()",
            **environment,
        )  # fmt: skip

    @property
    def port(self) -> int:
        """The API's port."""
        return self._port

    def call(
        self, method: str, path: str, body: object = None, headers: dict[str, str] | None = None
    ) -> tuple[int, Any]:
        """Send a request with a JSON body, and return the status and the JSON answer."""
        request = urllib.request.Request(
            f"http://127.0.0.1:{self._port}{path}",
            data=None if body is None else json.dumps(body).encode(),
            headers={"Content-Type": "application/json", **(headers or {})},
            method=method,
        )
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:  # noqa: S310
                return answer.status, json.loads(answer.read() or "null")
        except urllib.error.HTTPError as refusal:
            return refusal.code, json.load(refusal)

    def submit(self, *satellites: dict[str, Any], identifier: str = "test/cluster", **fields: Any) -> str:
        """Submit a cluster over HTTP, and return the execution's id."""
        status, answer = self.call(
            "POST", "/executions", {"identifier": identifier, "satellites": list(satellites), **fields}
        )
        assert status == 201, answer
        execution_id: str = answer["execution_id"]
        return execution_id

    def execution(self, execution_id: str) -> dict[str, Any]:
        """Read an execution over HTTP."""
        status, answer = self.call("GET", f"/executions/{execution_id}")
        assert status == 200, answer
        return dict(answer)

    def satellite(self, execution_id: str, name: str) -> dict[str, Any]:
        """Read a satellite over HTTP, by its name."""
        ids = {one["name"]: one["satellite_id"] for one in self.execution(execution_id)["satellites"]}
        status, answer = self.call("GET", f"/satellites/{ids[name]}")
        assert status == 200, answer
        return dict(answer)

    def wait(self, execution_id: str, *, within_s: float = 60) -> dict[str, Any]:
        """Wait for an execution's end, and return it."""
        return until(
            lambda: (found := self.execution(execution_id))["status"] in FINISHED and found,
            within_s=within_s,
            what=f"execution {execution_id} ends",
        )

    def statuses(self, execution_id: str) -> dict[str, str]:
        """Return the satellites' states by name."""
        return {one["name"]: one["status"] for one in self.execution(execution_id)["satellites"]}

    def cancel_everything(self) -> None:
        """Cancel every execution that has not ended."""
        with self.engine.connect() as connection:
            unfinished = list(connection.scalars(_UNFINISHED))
        for execution_id in unfinished:
            status, _ = self.call("DELETE", f"/executions/{execution_id}")
            assert status in {202, 409}

    def answers(self, path: str = "/state/health/live") -> bool:
        """Tell whether the API is there, and answers this with 200."""
        try:
            return self.call("GET", path)[0] == 200
        except OSError:
            return False

    def _wait_for_api(self, api: Process) -> None:
        until(lambda: api.returncode is not None or self.answers(), what="the API answers", within_s=START_S)
        assert api.returncode is None, api.output

    def _wait_for_worker(self, worker: Process, known: set[UUID]) -> None:
        """Wait until a worker is registered that was not known before this one was started."""
        until(
            lambda: worker.returncode is not None or self._worker_ids() - known,
            what="the worker is registered",
            within_s=START_S,
        )
        assert worker.returncode is None, worker.output

    def _worker_ids(self) -> set[UUID]:
        return {worker.id for worker in workers.live_workers(self.engine, timedelta(seconds=15))}
