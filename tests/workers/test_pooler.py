"""Everything works behind a transaction pooler, noticed by itself; a lost worker is found by its lease alone."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any
from uuid import UUID

import psycopg
import pytest
from sqlalchemy import text

from state_manager.store.engine import connect, is_pooled
from state_manager.store.migrate import migrate
from state_manager.store.schema import is_current
from tests.pgbouncer import needs_pgbouncer, pooled
from tests.services import fresh_database, fresh_redis
from tests.store.invariants import assert_sound
from tests.system import System
from tests.waiting import until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = needs_pgbouncer

LEASE_S = 2
DIAMOND: list[dict[str, Any]] = [
    {"name": name, "uses": "satellite/exospherehost/echo", "dependencies": dependencies}
    for name, dependencies in [("a", []), ("b", ["a"]), ("c", ["a"]), ("d", ["b", "c"])]
]


@pytest.fixture(scope="module")
def direct_uri(postgres: str, template: str) -> Iterator[str]:
    """Yield the address of the system's database without the pooler."""
    with fresh_database(postgres, template) as uri:
        yield uri


@pytest.fixture(scope="module")
def system(direct_uri: str) -> Iterator[System]:
    """Yield a system all of whose parts reach PostgreSQL through PgBouncer."""
    with (
        pooled(direct_uri) as uri,
        fresh_redis() as redis_uri,
        System(uri, redis_uri, LEASE_SECONDS=str(LEASE_S)) as system,
    ):
        system.start_beat()
        system.start_api()
        yield system


def sessions(system: System) -> list[int | None]:
    """Return the backends on record of the children that are on the list of workers."""
    with system.engine.connect() as connection:
        found = connection.execute(text("SELECT session_pid FROM workers WHERE parent IS NOT NULL"))
        return list(found.scalars())


def test_pooler_is_noticed(database_uri: str) -> None:
    with psycopg.connect(database_uri) as direct:
        assert not is_pooled(direct)
    with pooled(database_uri) as uri, psycopg.connect(uri) as behind:
        assert is_pooled(behind)


def test_database_is_migrated_through_a_pooler(postgres: str) -> None:
    with fresh_database(postgres, "template1") as database_uri, pooled(database_uri) as uri:
        migrate(uri)
        engine = connect(uri)
        assert is_current(engine)
        engine.dispose()


def test_forty_executions_are_submitted_and_run(system: System) -> None:
    with system.start_worker() as worker:
        with ThreadPoolExecutor(8) as pool:
            submitted = list(pool.map(lambda _: system.submit(*DIAMOND), range(40)))
        for execution_id in submitted:
            assert system.wait(execution_id)["status"] == "completed"
            assert_sound(system.engine, UUID(execution_id))
        assert set(sessions(system)) == {None}
        assert "prepared statement" not in worker.output


def test_killed_workers_satellite_is_recovered_by_the_lease_alone(system: System, tmp_path: Path) -> None:
    file = tmp_path / "file"
    killed = system.start_worker()
    execution_id = system.submit({"name": "waits", "uses": "satellite/test/wait", "config": {"file": str(file)}})
    until(lambda: system.statuses(execution_id)["waits"] == "running")
    killed.kill_group()
    file.touch()
    with system.start_worker():
        assert system.wait(execution_id)["status"] == "completed"
    assert system.satellite(execution_id, "waits")["output"]["attempt"] == 2


def test_cancel_reaches_what_runs(system: System, tmp_path: Path) -> None:
    with system.start_worker("-c", "1"):
        execution_id = system.submit(
            {"name": "waits", "uses": "satellite/test/wait", "config": {"file": str(tmp_path / "never")}}
        )
        until(lambda: system.statuses(execution_id)["waits"] == "running")
        system.call("DELETE", f"/executions/{execution_id}")
        assert system.wait(system.submit(*DIAMOND), within_s=10)["status"] == "completed"


def test_direct_address_keeps_the_session_by_which_a_loss_is_noticed_at_once(system: System, direct_uri: str) -> None:
    known = len(sessions(system))
    with system.start_worker(DATABASE_DIRECT_URI=direct_uri):
        until(lambda: len(sessions(system)) == known + 2)
        assert len([pid for pid in sessions(system) if pid is not None]) == 2
        assert system.wait(system.submit(*DIAMOND))["status"] == "completed"
