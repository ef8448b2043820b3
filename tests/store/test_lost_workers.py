"""Lost workers: those whose session is missing at two looks, when PostgreSQL has been up for a while."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING
from uuid import UUID, uuid4

import pytest
from sqlalchemy import select, text, update

from state_manager.maintenance import expired_leases, lost_workers
from state_manager.retry import RetryPolicy
from state_manager.store import leases
from state_manager.store.engine import connect
from state_manager.store.tables import satellites, workers
from tests.factories import front, submit
from tests.store.attempts import MANY, claim, completed, rows, settle, statuses
from tests.store.invariants import assert_sound
from tests.store.recorder import Recorder, services
from tests.store.sessions import break_off, lost_worker, register, session

if TYPE_CHECKING:
    from collections.abc import Callable

    from sqlalchemy import Engine

LONG_AGO = datetime(2026, 1, 1, 12, tzinfo=UTC)
WORKER = UUID(int=7)


@dataclass
class Clock:
    """A clock whose sleep runs a function instead, between the two looks."""

    meanwhile: Callable[[], object] = lambda: None
    waits: int = 0

    def sleep(self, seconds: float) -> None:
        assert seconds == lost_workers.BETWEEN_LOOKS_S
        self.waits += 1
        self.meanwhile()


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(lost_workers, "time", clock)
    monkeypatch.setattr(leases, "GRACE_AFTER_START", timedelta(0))
    return clock


def registered(engine: Engine) -> set[UUID]:
    with engine.connect() as connection:
        return set(connection.execute(select(workers.c.id)).scalars())


def expire_lost_workers(engine: Engine) -> tuple[int, Recorder]:
    recorder = Recorder()
    return lost_workers.run_once(services(engine, recorder, MANY)), recorder


def test_worker_that_is_missing_at_two_looks_loses_what_it_holds(
    engine: Engine, database_uri: str, clock: Clock
) -> None:
    submitted = submit(engine, front(3), max_attempts=2)
    others = claim(engine, submitted, "s2")
    with session(database_uri) as connection:
        register(connection, WORKER)
        attempts = claim(engine, submitted, "s0", "s1", worker=WORKER)
        assert expire_lost_workers(engine) == (0, Recorder())
        assert clock.waits == 0
        break_off(engine, connection)
    count, recorder = expire_lost_workers(engine)
    assert (count, set(recorder.sent)) == (2, {one.id for one in attempts})
    assert statuses(engine, submitted) == {"s0": "pending", "s1": "pending", "s2": "running"}
    assert registered(engine) == set()
    assert settle(engine, completed(attempts[0])).landed == frozenset()
    assert settle(engine, completed(others[0])).landed == {others[0].id}
    assert_sound(engine, submitted.execution_id)
    assert expire_lost_workers(engine) == (0, Recorder())


def test_worker_that_comes_back_between_the_looks_keeps_what_it_holds(
    engine: Engine, database_uri: str, clock: Clock
) -> None:
    lost_worker_id = lost_worker(engine, database_uri)
    submitted = submit(engine, front(1), max_attempts=2)
    (attempt,) = claim(engine, submitted, "s0", worker=lost_worker_id)
    with session(database_uri) as connection:
        clock.meanwhile = lambda: register(connection, lost_worker_id)
        assert expire_lost_workers(engine) == (0, Recorder())
    assert registered(engine) == {lost_worker_id}
    assert settle(engine, completed(attempt)).landed == {attempt.id}


def test_worker_that_came_back_and_is_missing_again_waits_for_the_next_round(
    engine: Engine, database_uri: str, clock: Clock
) -> None:
    worker = lost_worker(engine, database_uri)
    submitted = submit(engine, front(1), max_attempts=2)
    claim(engine, submitted, "s0", worker=worker)
    with session(database_uri) as connection:

        def come_and_go() -> None:
            register(connection, worker)
            break_off(engine, connection)

        clock.meanwhile = come_and_go
        assert expire_lost_workers(engine)[0] == 0
    clock.meanwhile = lambda: None
    assert expire_lost_workers(engine)[0] == 1


def test_worker_that_was_lost_meanwhile_waits_for_its_second_look(
    engine: Engine, database_uri: str, clock: Clock
) -> None:
    gone = lost_worker(engine, database_uri)
    submitted = submit(engine, front(2), max_attempts=2)
    claim(engine, submitted, "s0", worker=gone)
    claim(engine, submitted, "s1", worker=WORKER)
    with session(database_uri) as connection:
        register(connection, WORKER)
        clock.meanwhile = lambda: break_off(engine, connection)
        assert expire_lost_workers(engine)[1].sent == [submitted["s0"]]
    assert registered(engine) == {WORKER}
    clock.meanwhile = lambda: None
    assert expire_lost_workers(engine)[1].sent == [submitted["s1"]]


def test_nobody_is_lost_shortly_after_a_start_of_postgresql(
    engine: Engine, database_uri: str, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    submitted = submit(engine, front(2), max_attempts=2)
    claim(engine, submitted, "s0", worker=lost_worker(engine, database_uri))
    claim(engine, submitted, "s1", now=LONG_AGO)
    recorder = Recorder()
    one = services(engine, recorder, MANY)
    monkeypatch.setattr(leases, "GRACE_AFTER_START", timedelta(days=1))
    assert (lost_workers.run_once(one), expired_leases.run_once(one), clock.waits) == (0, 0, 0)
    assert set(statuses(engine, submitted).values()) == {"running"}
    monkeypatch.setattr(leases, "GRACE_AFTER_START", timedelta(0))
    assert (lost_workers.run_once(one), expired_leases.run_once(one), clock.waits) == (1, 1, 1)


def test_start_of_postgresql_between_the_looks_gives_everyone_grace(
    engine: Engine, database_uri: str, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    submitted = submit(engine, front(1))
    claim(engine, submitted, "s0", worker=lost_worker(engine, database_uri))
    clock.meanwhile = lambda: monkeypatch.setattr(leases, "GRACE_AFTER_START", timedelta(days=1))
    assert expire_lost_workers(engine) == (0, Recorder())
    assert statuses(engine, submitted) == {"s0": "running"}


def test_worker_without_a_session_on_record_is_lost_with_its_leases_alone(
    engine: Engine, database_uri: str, clock: Clock
) -> None:
    submitted = submit(engine, front(2), max_attempts=2)
    with session(database_uri) as connection:
        register(connection, WORKER, behind_a_pooler=True)
        break_off(engine, connection)
    claim(engine, submitted, "s0", worker=WORKER, now=LONG_AGO)
    claim(engine, submitted, "s1", worker=WORKER)
    recorder = Recorder()
    one = services(engine, recorder, MANY)
    assert (lost_workers.run_once(one), expired_leases.run_once(one)) == (0, 1)
    assert recorder.sent == [submitted["s0"]]


def test_satellite_that_was_killed_past_its_time_waits_as_its_policy_says(
    engine: Engine, database_uri: str, clock: Clock
) -> None:
    submitted = submit(engine, front(1), max_attempts=2)
    policy = RetryPolicy(max_attempts=2, base_delay=60, jitter=False).as_json()
    with engine.connect() as connection:
        connection.execute(update(satellites).values(timeout_s=30, retry_policy=policy))
    claim(engine, submitted, "s0", worker=lost_worker(engine, database_uri), now=LONG_AGO)
    assert expire_lost_workers(engine) == (1, Recorder(notified=[submitted.execution_id]))
    row = rows(engine, submitted)["s0"]
    assert (row["status"], row["error_kind"], row["queued_at"]) == ("pending", "timeout", None)
    assert row["not_before"] > datetime.now(UTC) + timedelta(seconds=30)


def test_worker_of_another_role_is_alive_while_its_backend_is_there(
    engine: Engine, database_uri: str, clock: Clock
) -> None:
    submitted = submit(engine, front(1), max_attempts=2)
    role = f"beat_{uuid4().hex}"
    with engine.connect() as connection:
        connection.execute(text(f"CREATE ROLE {role} LOGIN; GRANT SELECT ON workers TO {role}"))
    beat = connect(database_uri.replace("postgres:@", f"{role}:@"))
    try:
        with session(database_uri) as connection:
            register(connection, WORKER)
            claim(engine, submitted, "s0", worker=WORKER)
            assert leases.silent_sessions(beat) == set()
            break_off(engine, connection)
        assert {one.worker for one in leases.silent_sessions(beat)} == {WORKER}
    finally:
        beat.dispose()
        with engine.connect() as connection:
            connection.execute(text(f"DROP OWNED BY {role}; DROP ROLE {role}"))
