"""A worker or beat that cannot run says why in its last line, and ends with the code that asks for no restart."""

from __future__ import annotations

import signal
from contextlib import suppress
from typing import TYPE_CHECKING
from uuid import uuid4

import pytest
from celery import Celery
from celery.utils.nodenames import gethostname

from exospherehost.satellites import DEFAULT_QUEUE
from state_manager.store.migrate import migrate
from tests.processes import Process, free_port, python
from tests.services import fresh_database, fresh_redis
from tests.system import START_S, System, fresh_system
from tests.waiting import until
from workers.app import RUN_SATELLITE
from workers.startup import CONFIGURATION_FAULT, wait_for_migration

if TYPE_CHECKING:
    from collections.abc import Iterator

WORKER = ("-m", "workers", "worker", "-P", "solo", "--without-mingle", "--without-gossip")
AS_IN_THE_PROCFILE = ("-m", "celery", "-A", "workers", "worker", "-P", "solo", "--without-mingle", "--without-gossip")
BEAT = ("-m", "workers", "beat", "--pidfile=")


@pytest.fixture
def unmigrated(postgres: str) -> Iterator[System]:
    """Yield a system whose database is empty."""
    with (
        fresh_database(postgres, "template1") as database_uri,
        fresh_redis() as redis_uri,
        System(database_uri, redis_uri) as system,
    ):
        yield system


def test_module_that_cannot_be_imported_is_named_last() -> None:
    environment = {"DATABASE_URI": "postgresql://127.0.0.1:1/none", "SATELLITE_MODULES": "no.such.module"}
    with Process(python(*WORKER), environment) as worker:
        assert worker.wait() == CONFIGURATION_FAULT
        assert worker.output.splitlines()[-1] == (
            "cannot start this worker: SATELLITE_MODULES: cannot import no.such.module: "
            "ModuleNotFoundError: No module named 'no'"
        )


@pytest.mark.parametrize("command", [WORKER, BEAT], ids=["worker", "beat"])
def test_part_waits_for_the_migration(unmigrated: System, command: tuple[str, ...]) -> None:
    part = unmigrated.start(*command)
    until(lambda: "waiting for the database to be migrated" in part.output)
    migrate(unmigrated.database_uri)
    ready = " ready." if command is WORKER else "beat: Starting..."
    until(lambda: ready in part.output)
    assert part.returncode is None


def test_database_that_nobody_migrates_is_refused(unmigrated: System, capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as refused:
        wait_for_migration(unmigrated.engine, within_s=0.1)
    assert refused.value.code == CONFIGURATION_FAULT
    assert capfd.readouterr().err.splitlines()[-1] == (
        "cannot start: the database is not migrated; "
        "run python -m state_manager.store.migrate with the same DATABASE_URI"
    )


def test_worker_that_is_stopped_before_it_is_ready_ends_quietly(postgres: str, template: str) -> None:
    with fresh_database(postgres, template) as database_uri:
        port = free_port()
        with Process(
            python(*WORKER), {"DATABASE_URI": database_uri, "REDIS_URI": f"redis://127.0.0.1:{port}"}
        ) as worker:
            until(lambda: f"Error 111 connecting to 127.0.0.1:{port}" in worker.output)
            worker.send(signal.SIGTERM)
            worker.wait()
            assert "Traceback" not in worker.output, worker.output


def test_two_workers_of_one_host_send_task_events_under_names_of_their_own(postgres: str, template: str) -> None:
    with fresh_system(postgres, template) as system, Celery(broker=system.redis_uri) as monitor:
        workers = [system.start(*AS_IN_THE_PROCFILE) for _ in range(2)]
        names = {f"worker-{worker.pid}@{gethostname()}" for worker in workers}
        seen: set[str] = set()

        of_tasks = {"task-received": lambda event: seen.add(event["hostname"])}
        receiver = monitor.events.Receiver(monitor.connection_for_read(), handlers=of_tasks)

        def seen_of_both() -> bool:
            """Switch events on, as monitors do again and again, and send a message."""
            monitor.control.enable_events()
            monitor.send_task(RUN_SATELLITE, [str(uuid4())], queue=DEFAULT_QUEUE)
            with suppress(TimeoutError):
                connection.drain_events(timeout=0.2)
            return seen == names

        with receiver.consumer_context(wakeup=False) as (connection, _, _):
            until(seen_of_both, within_s=START_S)
