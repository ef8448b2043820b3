"""One execution whose repair fails holds up no other, and is stopped or left out, visibly, after some tries."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import text, update
from sqlalchemy.exc import OperationalError

from state_manager.maintenance import late_executions
from state_manager.maintenance import repairs as module
from state_manager.maintenance.reconciler import Reconciler
from state_manager.maintenance.repairs import Repairs
from state_manager.states import ExecutionStatus
from state_manager.store import executions, leases
from state_manager.store.tables import executions as table
from tests.factories import front, submit
from tests.store.attempts import MANY, claim, complete, execution, failed_for_now, settle, statuses
from tests.store.errors import EXECUTIONS, REFUSED, SATELLITES, allow_updates, refuse_updates
from tests.store.invariants import assert_admission_is_right, assert_sound
from tests.store.recorder import Recorder, lifecycle, services

if TYPE_CHECKING:
    from collections.abc import Callable
    from uuid import UUID

    from sqlalchemy import Engine

    from tests.factories import Submitted

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
EVER_S = 1e9


@pytest.fixture(autouse=True)
def _without_grace(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(leases, "GRACE_AFTER_START", timedelta(0))


def overdue(engine: Engine) -> Submitted:
    submitted = submit(engine, front(2), max_attempts=2, timeout_s=EVER_S, now=NOON)
    for name in submitted.ids:
        claim(engine, submitted, name, now=NOON)
    return submitted


def due(engine: Engine) -> Submitted:
    submitted = submit(engine, front(1), max_attempts=2, timeout_s=EVER_S, now=NOON)
    settle(engine, *(failed_for_now(one, 10) for one in claim(engine, submitted, "s0", now=NOON)), now=NOON)
    return submitted


def late(engine: Engine) -> Submitted:
    return submit(engine, front(1), timeout_s=90, now=NOON)


def stuck(engine: Engine) -> Submitted:
    submitted = submit(engine, front(1), timeout_s=EVER_S, now=NOON)
    with engine.connect() as connection:
        connection.execute(text("UPDATE satellites SET queued_at = NULL WHERE id = :id"), {"id": submitted["s0"]})
    return submitted


BROKEN: dict[str, Callable[[Engine], Submitted]] = {"overdue": overdue, "due": due, "timed_out": late, "stuck": stuck}


def rounds(reconciler: Reconciler, what: str, count: int) -> list[tuple[int, int]]:
    """Return how much of a kind each of so many rounds repaired, and how much failed."""
    found = [reconciler.run_once() for _ in range(count)]
    return [(one[what], one["failed"]) for one in found]


@pytest.mark.parametrize("what", BROKEN)
def test_execution_whose_repair_fails_keeps_no_step_from_the_others(
    engine: Engine, what: str, caplog: pytest.LogCaptureFixture
) -> None:
    poisoned, good = BROKEN[what](engine), BROKEN[what](engine)
    refuse_updates(engine, SATELLITES, poisoned.execution_id, "23514")
    reconciler = Reconciler(services(engine, Recorder(), MANY))

    assert sum(done for done, _ in rounds(reconciler, what, 2)) == len(good.ids)

    assert_sound(engine, good.execution_id)
    assert f"the repair of execution {poisoned.execution_id} failed" in caplog.text


@pytest.mark.parametrize("sqlstate", REFUSED)
def test_error_of_any_class_ends_the_repair_of_its_execution_alone(engine: Engine, sqlstate: str) -> None:
    poisoned, good = overdue(engine), overdue(engine)
    refuse_updates(engine, SATELLITES, poisoned.execution_id, sqlstate)
    assert rounds(Reconciler(services(engine, Recorder(), MANY)), "overdue", 1) == [(2, 1)]
    assert_sound(engine, good.execution_id)


@dataclass
class Clock:
    now: float = 0

    def __call__(self) -> float:
        return self.now


def refused(engine: Engine) -> int:
    with engine.connect() as connection:
        return int(connection.execute(text("SELECT 1 / 0")).scalar_one())


def test_execution_that_cannot_be_repaired_is_stopped_and_says_why(engine: Engine) -> None:
    running, waiting = (submit(engine, front(1), max_concurrent=1) for _ in range(2))
    clock, recorder = Clock(), Recorder()
    repairs = Repairs(lifecycle(engine, recorder, 1), clock)
    for at in range(module.TRIES):
        assert execution(engine, running)["status"] == "running"
        assert repairs.attempt(running.execution_id, partial(refused, engine)) == 0
        assert repairs.take_failed() == 1
        clock.now += module.FIRST_PAUSE_S * 2**at
    row = execution(engine, running)
    assert (row["status"], row["error"]) == (
        "failed",
        "it could not be repaired in 5 tries: division by zero (SQLSTATE 22012)",
    )
    assert recorder.enqueued == [waiting.execution_id]
    assert repairs.paused() == []
    assert_sound(engine, running.execution_id)
    assert_admission_is_right(engine)


def test_execution_that_cannot_be_stopped_either_is_left_out_for_ever_longer(engine: Engine) -> None:
    submitted = submit(engine, front(1))
    refuse_updates(engine, EXECUTIONS, submitted.execution_id, "XX000")
    clock = Clock()
    repairs = Repairs(lifecycle(engine, Recorder(), MANY), clock)
    pauses = []
    for _ in range(12):
        began = clock.now
        repairs.attempt(submitted.execution_id, partial(refused, engine))
        while submitted.execution_id in repairs.paused():
            assert repairs.attempt(submitted.execution_id, partial(refused, engine)) == 0
            clock.now += 1
        pauses.append(clock.now - began)
    assert pauses == [1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300, 300]
    assert repairs.take_failed() == 12
    allow_updates(engine, EXECUTIONS)
    repairs.attempt(submitted.execution_id, partial(refused, engine))
    assert execution(engine, submitted)["status"] == "failed"


def test_repair_that_succeeds_forgets_the_failures_before_it(engine: Engine) -> None:
    submitted, clock = submit(engine, front(1)), Clock()
    repairs = Repairs(lifecycle(engine, Recorder(), MANY), clock)
    for _ in range(3 * module.TRIES):
        repairs.attempt(submitted.execution_id, partial(refused, engine))
        clock.now += module.FIRST_PAUSE_S
        assert repairs.attempt(submitted.execution_id, lambda: 7) == 7
    assert execution(engine, submitted)["status"] == "running"


def test_error_that_is_not_the_databases_stops_no_execution(engine: Engine) -> None:
    submitted, clock = submit(engine, front(1)), Clock()
    repairs = Repairs(lifecycle(engine, Recorder(), MANY), clock)

    def raise_error() -> int:
        raise OSError("the broker")

    for _ in range(2 * module.TRIES):
        repairs.attempt(submitted.execution_id, raise_error)
        clock.now += module.LONGEST_PAUSE_S
    assert repairs.take_failed() == 2 * module.TRIES
    assert execution(engine, submitted)["status"] == "running"


def test_outage_ends_the_round(engine: Engine) -> None:
    submitted = overdue(engine)
    refuse_updates(engine, SATELLITES, submitted.execution_id, "57P01")
    reconciler = Reconciler(services(engine, Recorder(), MANY))
    with pytest.raises(OperationalError):
        reconciler.run_once()


def test_paused_executions_do_not_take_the_place_of_others_in_a_batch(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("state_manager.maintenance.expired_leases.BATCH_SIZE", 2)
    poisoned, good = overdue(engine), overdue(engine)
    refuse_updates(engine, SATELLITES, poisoned.execution_id, "23514")
    found = rounds(Reconciler(services(engine, Recorder(), MANY)), "overdue", 3)
    assert (sum(done for done, _ in found), statuses(engine, good)) == (2, {"s0": "pending", "s1": "pending"})


def test_execution_that_cannot_be_started_keeps_no_settle_from_landing(engine: Engine) -> None:
    running, poisoned, waiting = (submit(engine, front(1), max_concurrent=1) for _ in range(3))
    refuse_updates(engine, EXECUTIONS, poisoned.execution_id, "22008", when="NEW.status = 'running'")
    assert complete(engine, running, "s0", max_concurrent=1).admitted == (waiting.execution_id,)
    row = execution(engine, poisoned)
    assert (row["status"], row["error"]) == ("cancelled", "it could not be started: refused by a test")
    assert_sound(engine, poisoned.execution_id)
    assert_admission_is_right(engine)


def test_timeout_beyond_what_a_timestamp_holds_is_no_error(engine: Engine) -> None:
    submitted = submit(engine, front(1), timeout_s=1e300, max_attempts=3, now=NOON)
    claim(engine, submitted, "s0", now=NOON)
    with engine.connect() as connection:
        connection.execute(text("UPDATE satellites SET timeout_s = 1e300"))
    assert Reconciler(services(engine, Recorder(), MANY)).run_once()["overdue"] == 1
    (attempt,) = claim(engine, submitted, "s0")
    settle(engine, failed_for_now(attempt, 1e300))
    executions.retry(engine, submitted.execution_id)
    assert_sound(engine, submitted.execution_id)


def test_execution_that_was_given_more_time_meanwhile_is_not_stopped(engine: Engine) -> None:
    submitted = submit(engine, front(1), timeout_s=90, now=NOON)
    assert executions.past_their_time(engine, 10) == [(submitted.execution_id, 90)]
    with engine.connect() as connection:
        later = datetime.now(UTC) + timedelta(hours=1)
        connection.execute(update(table).values(times_out_at=later))
    stopped = executions.stop(
        engine, submitted.execution_id, ExecutionStatus.FAILED, max_concurrent=MANY, error="late", if_late=True
    )
    assert not stopped.stopped
    assert complete(engine, submitted, "s0").ended == "completed"


def test_step_spares_an_execution_that_was_given_more_time_after_its_look(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    submitted = late(engine)
    look = executions.past_their_time

    def look_and_give_time(*arguments: Any, **options: Any) -> list[tuple[UUID, float]]:
        found = look(*arguments, **options)
        with engine.connect() as connection:
            connection.execute(update(table).values(times_out_at=datetime.now(UTC) + timedelta(hours=1)))
        return found

    monkeypatch.setattr(executions, "past_their_time", look_and_give_time)
    assert late_executions.run_once(services(engine, Recorder(), MANY)) == 0
    assert execution(engine, submitted)["status"] == "running"
