"""The lease thread of a process: renews by time and by token, comes back, and tells the watchdog what is lost."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest
from sqlalchemy import func, select, text

from state_manager.config import settings
from state_manager.states import ExecutionStatus
from state_manager.store import executions, tables, transitions
from tests.factories import front, submit
from tests.store.attempts import claim, rows
from tests.waiting import until
from workers.process import Process

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    from sqlalchemy import Engine

    from tests.factories import Submitted

NEVER_S = "3000"
"""A lease of which the first renewal is the only one within a test."""

OFTEN_S = "1.5"


@pytest.fixture
def lease_s() -> str:
    return OFTEN_S


@pytest.fixture
def process(monkeypatch: pytest.MonkeyPatch, database_uri: str, lease_s: str) -> Iterator[Process]:
    """Yield a process that runs satellites, whose lease thread a test starts."""
    monkeypatch.setenv("DATABASE_URI", database_uri)
    monkeypatch.setenv("LEASE_SECONDS", lease_s)
    monkeypatch.setattr("workers.lease_keeper.RENEW_AT_LEAST_EVERY_S", float(lease_s) / 3)
    settings.cache_clear()
    yield Process(["satellites"])
    monkeypatch.undo()
    settings.cache_clear()


@contextmanager
def keeping(process: Process) -> Iterator[None]:
    assert process.lease_keeper.start()
    try:
        yield
    finally:
        process.lease_keeper.stop()


def hold(engine: Engine, process: Process, submitted: Submitted, *names: str) -> list[transitions.Claimed]:
    attempts = claim(engine, submitted, *names, worker=process.id)
    process.held_attempts.hold(attempts)
    return attempts


def lease_end(engine: Engine, submitted: Submitted, name: str = "s0") -> datetime:
    end: datetime = rows(engine, submitted)[name]["lease_expires_at"]
    return end


def registered(engine: Engine) -> int:
    with engine.connect() as connection:
        return int(connection.scalar(select(func.count()).select_from(tables.workers)) or 0)


def test_lease_is_renewed_again_and_again_though_nothing_wakes_its_keeper(engine: Engine, process: Process) -> None:
    submitted = submit(engine, front(1))
    hold(engine, process, submitted, "s0")
    with keeping(process):
        before = lease_end(engine, submitted)
        for _ in range(3):
            seen = lease_end(engine, submitted)
            until(lambda seen=seen: lease_end(engine, submitted) != seen, what="the lease is renewed")  # type: ignore[misc]
        with engine.connect() as connection:
            left_s = connection.scalar(
                text("SELECT extract(epoch FROM lease_expires_at - clock_timestamp()) FROM satellites")
            )
    assert lease_end(engine, submitted) != before
    assert 0 < float(left_s or 0) <= float(OFTEN_S)


def test_attempt_that_nobody_holds_is_not_renewed(engine: Engine, process: Process) -> None:
    """Its claim's answer was lost on the way."""
    submitted = submit(engine, front(2))
    hold(engine, process, submitted, "s0")
    claim(engine, submitted, "s1", worker=process.id)
    before = {name: lease_end(engine, submitted, name) for name in ("s0", "s1")}
    with keeping(process):
        until(lambda: lease_end(engine, submitted, "s0") != before["s0"], what="what is held is renewed")
    assert lease_end(engine, submitted, "s1") == before["s1"]


@pytest.mark.parametrize("lease_s", [NEVER_S])
def test_stopped_execution_reaches_what_runs_without_a_renewal(engine: Engine, process: Process) -> None:
    submitted = submit(engine, front(1))
    with keeping(process):
        (attempt,) = hold(engine, process, submitted, "s0")
        executions.stop(engine, submitted.execution_id, ExecutionStatus.CANCELLED, max_concurrent=1)
        held = process.held_attempts.get(attempt)
        assert held is not None
        until(lambda: held.taken_away, what="the notice comes")


def test_renewal_tells_what_was_taken_away(engine: Engine, process: Process) -> None:
    submitted = submit(engine, front(2))
    taken, kept = hold(engine, process, submitted, "s0", "s1")
    transitions.release(engine, [taken])
    with keeping(process):
        held = {name: process.held_attempts.get(one) for name, one in (("taken", taken), ("kept", kept))}
        assert held["taken"] is not None
        assert held["kept"] is not None
        until(lambda: held["taken"].taken_away, what="a renewal tells")  # type: ignore[union-attr]
    assert not held["kept"].taken_away


def test_attempt_that_this_process_has_claimed_again_is_taken_away_from_its_first_thread(
    engine: Engine, process: Process
) -> None:
    submitted = submit(engine, front(1))
    (first,) = hold(engine, process, submitted, "s0")
    transitions.release(engine, [first])
    (second,) = hold(engine, process, submitted, "s0")
    held = process.held_attempts.get(first), process.held_attempts.get(second)
    assert held[0] is not None
    assert held[1] is not None
    before = lease_end(engine, submitted)
    with keeping(process):
        until(lambda: held[0].taken_away, what="the first is taken away")  # type: ignore[union-attr]
        until(lambda: lease_end(engine, submitted) != before, what="the second is renewed")
    assert not held[1].taken_away


def test_process_that_was_deregistered_registers_again(engine: Engine, process: Process) -> None:
    with keeping(process):
        with engine.connect() as connection:
            connection.execute(tables.workers.delete())
        until(lambda: registered(engine) == 1, what="it is back")


def test_process_whose_session_is_broken_off_comes_back_with_another(engine: Engine, process: Process) -> None:
    submitted = submit(engine, front(1))
    hold(engine, process, submitted, "s0")
    pid = select(tables.workers.c.session_pid)

    def session() -> int | None:
        with engine.connect() as connection:
            return connection.scalar(pid)

    with keeping(process):
        first = until(session)
        with engine.connect() as connection:
            connection.execute(select(func.pg_terminate_backend(first)))
        until(lambda: session() != first, what="another session is on record")
        before = lease_end(engine, submitted)
        until(lambda: lease_end(engine, submitted) != before, what="it renews again")


def test_process_that_stops_is_no_worker_any_more(engine: Engine, process: Process) -> None:
    with keeping(process):
        assert registered(engine) == 1
    assert registered(engine) == 0


def test_process_that_never_started_stops(process: Process) -> None:
    process.lease_keeper.stop()
