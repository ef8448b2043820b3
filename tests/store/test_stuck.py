"""Executions that nothing would move on: a healthy system has none; one made so by hand is found and repaired."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest
from sqlalchemy import text

from state_manager.maintenance import stuck as step
from state_manager.store import stuck
from tests.factories import DIAMOND, chain, submit
from tests.store.attempts import MANY, claim, complete, execution, fail
from tests.store.invariants import assert_admission_is_right, assert_sound
from tests.store.recorder import Recorder, services

if TYPE_CHECKING:
    from collections.abc import Callable

    from sqlalchemy import Engine

    from tests.factories import Submitted

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)


def unqueue(engine: Engine, submitted: Submitted) -> None:
    write(engine, "UPDATE satellites SET queued_at = NULL WHERE id = :id", submitted["a"])


def count_too_many(engine: Engine, submitted: Submitted) -> None:
    write(engine, "UPDATE satellites SET queued_at = NULL, unmet = 1 WHERE id = :id", submitted["b"])


def count_too_few(engine: Engine, submitted: Submitted) -> None:
    write(engine, "UPDATE satellites SET unmet = 1 WHERE id = :id", submitted["d"])


def leave_open(engine: Engine, submitted: Submitted) -> None:
    """End the last satellite behind the execution's back."""
    complete(engine, submitted, "b", "c")
    claim(engine, submitted, "d")
    write(
        engine,
        """UPDATE satellites SET status = 'completed', lease_expires_at = NULL, end_time = start_time,
           output = 'null' WHERE id = :id""",
        submitted["d"],
    )


def write(engine: Engine, statement: str, satellite_id: object) -> None:
    with engine.connect() as connection:
        connection.execute(text(statement), {"id": satellite_id})
        connection.execute(text("UPDATE executions SET updated_at = updated_at - interval '1 hour'"))


@pytest.fixture
def submitted(engine: Engine) -> Submitted:
    """Submit a diamond, whose first satellite is done where its test needs that."""
    return submit(engine, DIAMOND)


def test_execution_that_goes_on_has_no_faults(engine: Engine, submitted: Submitted) -> None:
    for names in ("a", "bc", "d"):
        assert not stuck.faults_of(engine, submitted.execution_id).any()
        complete(engine, submitted, *names)
    assert not stuck.faults_of(engine, submitted.execution_id).any()


@pytest.mark.parametrize("break_it", [unqueue, count_too_many, count_too_few, leave_open])
def test_what_is_stuck_is_found_and_put_right(
    engine: Engine,
    submitted: Submitted,
    break_it: Callable[[Engine, Submitted], None],
    caplog: pytest.LogCaptureFixture,
) -> None:
    if break_it is not unqueue:
        complete(engine, submitted, "a")
    break_it(engine, submitted)
    recorder = Recorder()
    reconciler = services(engine, recorder, MANY)
    assert step.run_once(reconciler) == 1
    assert f"execution {submitted.execution_id} is stuck" in caplog.text
    if break_it is leave_open:
        assert execution(engine, submitted)["status"] == "completed"
        assert recorder.notified == [submitted.execution_id]
    else:
        assert_sound(engine, submitted.execution_id)
        assert set(recorder.sent) <= set(submitted.nodes)
    assert_admission_is_right(engine)
    assert step.run_once(services(engine, Recorder(), MANY)) == 0


def test_idle_executions_are_looked_at_in_turn(engine: Engine) -> None:
    broken = [submit(engine, chain(2), now=NOON, timeout_s=1e9) for _ in range(3)]
    write(engine, "UPDATE satellites SET queued_at = NULL WHERE :id IS NOT NULL", broken[0]["s0"])
    reconciler = services(engine, Recorder(), MANY)
    assert [step.run_once(reconciler) for _ in range(5)] == [1, 1, 1, 0, 0]
    for one in broken:
        assert_sound(engine, one.execution_id)


def test_execution_in_which_something_has_just_changed_is_left_alone(engine: Engine, submitted: Submitted) -> None:
    with engine.connect() as connection:
        connection.execute(text("UPDATE satellites SET queued_at = NULL"))
    assert step.run_once(services(engine, Recorder(), MANY)) == 0
    assert execution(engine, submitted)["status"] == "running"


def test_all_done_behind_what_failed_or_was_skipped_is_no_fault(engine: Engine) -> None:
    submitted = submit(engine, {"a": [], "b": ["a"], "cleanup": ["a", "b"]}, all_done=["cleanup"])
    fail(engine, submitted, "a")
    assert not stuck.faults_of(engine, submitted.execution_id).any()
