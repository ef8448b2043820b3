"""Stopping an execution from outside: what ends with it, what is refused later, and who comes next."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import psycopg
from uuid_utils.compat import uuid4

from state_manager.states import ExecutionStatus
from state_manager.store import events, executions, satellites
from tests.factories import DIAMOND, chain, front, submit
from tests.store.attempts import (
    claim,
    complete,
    completed,
    execution,
    fail,
    failed_for_now,
    fire_due,
    rows,
    settle,
    statuses,
)
from tests.store.invariants import assert_admission_is_right, assert_sound
from tests.store.rivals import rival_to

if TYPE_CHECKING:
    from sqlalchemy import Engine

    from state_manager.store.executions import Stopped
    from tests.factories import Submitted

TOO_LATE = "the execution did not finish in time"


def cancel(engine: Engine, submitted: Submitted, *, max_concurrent: int = 1000) -> Stopped:
    cancelled = ExecutionStatus.CANCELLED
    return executions.stop(engine, submitted.execution_id, cancelled, max_concurrent=max_concurrent)


def time_out(engine: Engine, submitted: Submitted, *, max_concurrent: int = 1000) -> Stopped:
    failed = ExecutionStatus.FAILED
    return executions.stop(engine, submitted.execution_id, failed, max_concurrent=max_concurrent, error=TOO_LATE)


def test_cancelling_ends_what_runs_and_what_has_not_started(engine: Engine) -> None:
    submitted = submit(engine, {"done": [], "runs": [], "ready": [], "behind": ["runs"], "cleanup": ["runs"]})
    complete(engine, submitted, "done")
    claim(engine, submitted, "runs")
    stopped = cancel(engine, submitted)
    assert (stopped.previous, stopped.stopped, stopped.admitted) == ("running", True, ())
    assert execution(engine, submitted)["status"] == "cancelled"
    unfinished = dict.fromkeys(["runs", "ready", "behind", "cleanup"], "cancelled")
    assert statuses(engine, submitted) == {"done": "completed", **unfinished}
    assert_sound(engine, submitted.execution_id)
    assert_admission_is_right(engine)


def test_execution_past_its_time_fails_with_an_error(engine: Engine) -> None:
    submitted = submit(engine, chain(3))
    claim(engine, submitted, "s0")
    assert time_out(engine, submitted).stopped
    row = execution(engine, submitted)
    assert (row["status"], row["error"], row["cancelled"]) == ("failed", TOO_LATE, 3)
    assert_sound(engine, submitted.execution_id)


def test_stopping_tells_of_each_satellite_and_then_of_the_execution(engine: Engine) -> None:
    submitted = submit(engine, {"b": [], "a": ["b"]})
    before = execution(engine, submitted)["seq"]
    time_out(engine, submitted)
    log = events.read(engine, submitted.execution_id, after=before, limit=100)
    assert log is not None
    assert [(one.seq - before, one.kind, one.name, one.data) for one in log] == [
        (1, "cancelled", "b", None),
        (2, "cancelled", "a", None),
        (3, "failed", None, {"error": TOO_LATE}),
    ]


def test_stopping_keeps_the_failures_and_skips_from_before(engine: Engine) -> None:
    submitted = submit(engine, {"a": [], "b": ["a"], "c": [], "cleanup": ["b", "c"]}, all_done=["cleanup"])
    fail(engine, submitted, "a")
    cancel(engine, submitted)
    assert statuses(engine, submitted) == {"a": "failed", "b": "skipped", "c": "cancelled", "cleanup": "cancelled"}
    assert_sound(engine, submitted.execution_id)


def test_execution_that_waits_for_admission_is_cancelled_without_a_start(engine: Engine) -> None:
    running = submit(engine, front(1), max_concurrent=1)
    waiting = submit(engine, chain(2), max_concurrent=1)
    stopped = cancel(engine, waiting, max_concurrent=1)
    assert (stopped.previous, stopped.stopped, stopped.admitted) == ("pending", True, ())
    assert complete(engine, running, "s0", max_concurrent=1).admitted == ()
    assert execution(engine, waiting)["started_at"] is None
    assert_sound(engine, waiting.execution_id)
    assert_admission_is_right(engine)


def test_execution_that_has_ended_stays_as_it_is(engine: Engine) -> None:
    done, lost, gone = (submit(engine, front(1)) for _ in range(3))
    complete(engine, done, "s0")
    fail(engine, lost, "s0")
    cancel(engine, gone)
    for one, status in ((done, "completed"), (lost, "failed"), (gone, "cancelled")):
        before = (execution(engine, one), rows(engine, one))
        for stop in (cancel, time_out):
            stopped = stop(engine, one)
            assert (stopped.previous, stopped.stopped, stopped.admitted) == (status, False, ())
        assert (execution(engine, one), rows(engine, one)) == before
    assert_admission_is_right(engine)


def test_unknown_execution_has_nothing_to_stop(engine: Engine) -> None:
    stopped = executions.stop(engine, uuid4(), ExecutionStatus.CANCELLED, max_concurrent=1)
    assert (stopped.previous, stopped.stopped, stopped.admitted) == (None, False, ())


def test_what_a_stopped_execution_still_runs_is_refused_when_it_settles(engine: Engine) -> None:
    submitted = submit(engine, chain(2), max_attempts=2)
    (attempt,) = claim(engine, submitted, "s0")
    cancel(engine, submitted)
    before = (execution(engine, submitted), rows(engine, submitted))
    for outcome in (completed(attempt), failed_for_now(attempt, 0)):
        settled = settle(engine, outcome)
        assert (settled.landed, settled.ready, settled.ended) == (frozenset(), (), None)
    assert (execution(engine, submitted), rows(engine, submitted)) == before


def test_nothing_of_a_stopped_execution_can_be_claimed(engine: Engine) -> None:
    submitted = submit(engine, DIAMOND | {"e": []})
    complete(engine, submitted, "a")
    cancel(engine, submitted)
    assert claim(engine, submitted, *submitted.ids) == []
    assert satellites.ready(engine, submitted.execution_id) == []


def test_stopping_ends_the_wait_for_another_attempt(engine: Engine) -> None:
    submitted = submit(engine, front(1), max_attempts=2)
    (attempt,) = claim(engine, submitted, "s0")
    settle(engine, failed_for_now(attempt, 10))
    cancel(engine, submitted)
    assert fire_due(engine, 10, now=datetime.now(UTC) + timedelta(minutes=1)) == []
    assert_sound(engine, submitted.execution_id)


def test_stopping_admits_who_waited_longest(engine: Engine) -> None:
    first, second, third = (submit(engine, front(1), max_concurrent=1) for _ in range(3))
    assert cancel(engine, first, max_concurrent=1).admitted == (second.execution_id,)
    assert time_out(engine, second, max_concurrent=1).admitted == (third.execution_id,)
    assert satellites.ready(engine, third.execution_id) == [third["s0"]]
    assert_admission_is_right(engine)


def test_stop_under_a_raised_limit_admits_all_there_is_room_for(engine: Engine) -> None:
    first, *waiting = [submit(engine, front(1), max_concurrent=1) for _ in range(4)]
    assert cancel(engine, first, max_concurrent=2).admitted == tuple(one.execution_id for one in waiting[:2])
    assert_admission_is_right(engine)


def test_workers_hear_that_an_execution_is_stopped(engine: Engine, database_uri: str) -> None:
    submitted = submit(engine, front(1))
    with psycopg.connect(database_uri, autocommit=True) as worker:
        worker.execute("LISTEN interrupt")
        cancel(engine, submitted)
        cancel(engine, submitted)
        cancel(engine, submit(engine, front(1)))
        heard = [notice.payload for notice in worker.notifies(timeout=30, stop_after=2)]
    assert heard[0] == str(submitted.execution_id)
    assert heard[1] != heard[0], "a stop that found nothing to stop woke the workers"


def test_of_two_stops_at_once_the_second_finds_it_stopped(engine: Engine) -> None:
    submitted = submit(engine, chain(3))
    with rival_to(engine) as (first, rival):
        assert time_out(first, submitted).stopped
        later = rival.waits(cancel, submitted)
    assert (later.result().previous, later.result().stopped) == ("failed", False)
    assert_sound(engine, submitted.execution_id)
    assert_admission_is_right(engine)


def test_stop_that_waited_for_the_last_settle_finds_it_completed(engine: Engine) -> None:
    submitted = submit(engine, front(1))
    with rival_to(engine) as (first, rival):
        complete(first, submitted, "s0")
        later = rival.waits(cancel, submitted)
    assert (later.result().previous, later.result().stopped) == ("completed", False)
    assert_sound(engine, submitted.execution_id)
    assert_admission_is_right(engine)


def test_settle_and_claim_that_waited_for_a_stop_are_refused(engine: Engine) -> None:
    submitted = submit(engine, {"a": [], "b": [], "c": ["a"]})
    (attempt,) = claim(engine, submitted, "a")
    with rival_to(engine) as (first, rival):
        cancel(first, submitted)
        late = rival.waits(settle, completed(attempt))
        claiming = rival.waits(claim, submitted, "b")
    assert late.result().landed == frozenset()
    assert claiming.result() == []
    assert_sound(engine, submitted.execution_id)


def test_execution_that_has_not_started_is_cancelled_though_it_is_stopped_as_failed(engine: Engine) -> None:
    waiting = submit(engine, front(1), max_concurrent=0)
    assert executions.stop(
        engine, waiting.execution_id, ExecutionStatus.FAILED, max_concurrent=0, error="it could not be repaired"
    ).stopped
    row = execution(engine, waiting)
    assert (row["status"], row["error"]) == ("cancelled", "it could not be repaired")
    assert_sound(engine, waiting.execution_id)
