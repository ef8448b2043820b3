"""A satellite is queued by its own row and its execution's, whatever the caller asks for."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from sqlalchemy import text

from state_manager.states import ExecutionStatus, FailurePolicy
from state_manager.store import executions, queueing, satellites
from tests.factories import front, submit
from tests.store.attempts import claim, failed, failed_for_now, settle

if TYPE_CHECKING:
    from sqlalchemy import Engine

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)


def test_nothing_of_an_execution_that_waits_for_admission_is_queued(engine: Engine) -> None:
    submitted = submit(engine, front(2), max_concurrent=0)
    with engine.connect() as connection:
        ask = text("SELECT queue_if_ready(:ids, clock_timestamp())")
        assert connection.scalar(ask, {"ids": list(submitted.ids.values())}) == []
    assert satellites.ready(engine, submitted.execution_id) == []


def test_wait_that_is_not_over_any_more_is_not_fired(engine: Engine) -> None:
    """One was found due, was claimed by someone else meanwhile, and waits for its next attempt."""
    submitted = submit(engine, front(1), max_attempts=3, now=NOON)
    settle(engine, failed_for_now(claim(engine, submitted, "s0", now=NOON)[0], 1), now=NOON)
    due = [submitted["s0"]]
    now = NOON + timedelta(seconds=1)
    assert len(queueing.fire_due(engine, due, now)) == 1
    settle(engine, failed_for_now(claim(engine, submitted, "s0", now=now)[0], 10), now=now)

    assert queueing.fire_due(engine, due, now) == []

    assert satellites.ready(engine, submitted.execution_id) == []


def test_nothing_that_has_ended_is_due(engine: Engine) -> None:
    stopped = submit(engine, front(1), max_attempts=2, now=NOON)
    settle(engine, failed_for_now(claim(engine, stopped, "s0", now=NOON)[0], 1), now=NOON)
    skipped = submit(engine, front(2), max_attempts=2, policy=FailurePolicy.FAIL_FAST, now=NOON)
    waits, fails = claim(engine, skipped, "s0", "s1", now=NOON)
    settle(engine, failed_for_now(waits, 1), now=NOON)
    later = NOON + timedelta(seconds=1)
    assert queueing.due(engine, 10, now=later).keys() == {stopped.execution_id, skipped.execution_id}

    executions.stop(engine, stopped.execution_id, ExecutionStatus.CANCELLED, max_concurrent=1)
    settle(engine, failed(fails), now=NOON)

    assert queueing.due(engine, 10, now=later) == {}
