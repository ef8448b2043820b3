"""A retried dependency: its dependents that run, or wait for their next attempt, wait for it again."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING
from uuid import uuid4

from sqlalchemy import text

from state_manager.states import ExecutionStatus
from state_manager.store import executions, leases, probes
from tests.factories import Submitted, front, report_worker, submit
from tests.store.attempts import MANY, claim, complete, fail, failed_for_now, fire_due, settle, statuses
from tests.store.invariants import assert_sound

if TYPE_CHECKING:
    from sqlalchemy import Engine

LATER = datetime.now(UTC) + timedelta(days=1)


def cleanup_after_a_failure(engine: Engine) -> Submitted:
    submitted = submit(engine, {"a": [], "cleanup": ["a"]}, all_done=["cleanup"], max_attempts=3)
    fail(engine, submitted, "a")
    return submitted


def retry_what_it_waited_for(engine: Engine, submitted: Submitted) -> None:
    executions.retry(engine, submitted.execution_id, submitted["a"])
    assert_sound(engine, submitted.execution_id)


def finish(engine: Engine, submitted: Submitted) -> None:
    complete(engine, submitted, "cleanup")
    assert statuses(engine, submitted) == {"a": "completed", "cleanup": "completed"}
    assert_sound(engine, submitted.execution_id)


def test_wait_that_is_over_before_the_dependency_has_ended_makes_nothing_ready(engine: Engine) -> None:
    submitted = cleanup_after_a_failure(engine)
    settle(engine, failed_for_now(claim(engine, submitted, "cleanup")[0], 10))
    retry_what_it_waited_for(engine, submitted)

    assert fire_due(engine, 10, now=LATER) == []
    assert_sound(engine, submitted.execution_id)

    assert complete(engine, submitted, "a").ready == (submitted["cleanup"],)
    finish(engine, submitted)


def test_dependency_that_ends_before_the_wait_is_over_makes_nothing_ready(engine: Engine) -> None:
    submitted = cleanup_after_a_failure(engine)
    settle(engine, failed_for_now(claim(engine, submitted, "cleanup")[0], 10))
    retry_what_it_waited_for(engine, submitted)

    assert complete(engine, submitted, "a").ready == ()
    assert_sound(engine, submitted.execution_id)

    assert [one.id for one in fire_due(engine, 10, now=LATER)] == [submitted["cleanup"]]
    finish(engine, submitted)


def test_attempt_that_is_lost_meanwhile_waits_for_the_dependency(engine: Engine) -> None:
    submitted = cleanup_after_a_failure(engine)
    (attempt,) = claim(engine, submitted, "cleanup")
    retry_what_it_waited_for(engine, submitted)

    lost = failed_for_now(attempt, 0)
    expired = leases.expire(engine, [lost], lease_over=False, max_concurrent=MANY)

    assert expired.landed == {submitted["cleanup"]}
    assert expired.ready == ()
    assert_sound(engine, submitted.execution_id)
    assert complete(engine, submitted, "a").ready == (submitted["cleanup"],)
    finish(engine, submitted)


def test_failure_that_is_settled_twice_names_its_next_attempt_twice(engine: Engine) -> None:
    submitted = submit(engine, front(1), max_attempts=3)
    (attempt,) = claim(engine, submitted, "s0")
    once_more = failed_for_now(attempt, 0)

    first, again = settle(engine, once_more), settle(engine, once_more)

    assert first == again
    assert first.ready == (submitted["s0"],)


def test_retry_of_a_satellite_that_did_not_fail_puts_nothing_back(engine: Engine) -> None:
    submitted = submit(engine, front(2))
    complete(engine, submitted, "s0")
    executions.stop(engine, submitted.execution_id, ExecutionStatus.FAILED, max_concurrent=MANY, error="late")

    assert executions.retry(engine, submitted.execution_id, submitted["s0"]).revived == ()
    assert_sound(engine, submitted.execution_id)


def test_queue_that_nobody_has_answered_for_a_day_is_probed_once_a_minute(engine: Engine) -> None:
    report_worker(engine, uuid4(), "a worker", ["q"])
    with engine.connect() as connection:
        connection.execute(text("INSERT INTO probes VALUES ('q', clock_timestamp() - interval '2 min', 1500)"))

    assert [queue for queue, _ in probes.due_probes(engine)] == ["q"]
    assert probes.due_probes(engine) == []
