"""Readiness is decided from the rows as they are, whichever of two transitions comes last."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from state_manager.store import executions, leases, queueing, transitions
from tests.factories import Submitted, submit
from tests.store.attempts import (
    MANY,
    claim,
    complete,
    completed,
    fail,
    failed_for_now,
    fire_due,
    rows,
    settle,
    statuses,
)
from tests.store.invariants import assert_sound
from tests.store.rivals import rival_to

if TYPE_CHECKING:
    from sqlalchemy import Engine

LATER = datetime.now(UTC) + timedelta(days=1)


def cleanup_after_a_failure(engine: Engine) -> Submitted:
    submitted = submit(engine, {"a": [], "cleanup": ["a"], "other": []}, all_done=["cleanup"], max_attempts=3)
    fail(engine, submitted, "a")
    return submitted


def retry(engine: Engine, submitted: Submitted, name: str) -> None:
    executions.retry(engine, submitted.execution_id, submitted[name])


def test_released_attempt_whose_dependency_was_put_back_waits_for_it(engine: Engine) -> None:
    submitted = cleanup_after_a_failure(engine)
    attempts = claim(engine, submitted, "cleanup", "other")
    retry(engine, submitted, "a")

    assert set(transitions.release(engine, attempts)) == {one.id for one in attempts}

    assert [one.id for one in queueing.unsent(engine, [one.id for one in attempts])] == [submitted["other"]]
    assert_sound(engine, submitted.execution_id)
    assert complete(engine, submitted, "a").ready == (submitted["cleanup"],)


def test_batch_of_a_lost_worker_is_taken_back_though_a_dependency_was_put_back(engine: Engine) -> None:
    submitted = cleanup_after_a_failure(engine)
    attempts = claim(engine, submitted, "cleanup", "other")
    retry(engine, submitted, "a")

    lost = [failed_for_now(one, 0) for one in attempts]
    expired = leases.expire(engine, lost, lease_over=False, max_concurrent=MANY)

    assert expired.landed == {one.id for one in attempts}
    assert expired.ready == (submitted["other"],)
    assert_sound(engine, submitted.execution_id)


def in_backoff_while_its_dependency_runs(engine: Engine) -> tuple[Submitted, transitions.Outcome]:
    submitted = cleanup_after_a_failure(engine)
    settle(engine, failed_for_now(claim(engine, submitted, "cleanup")[0], 10))
    retry(engine, submitted, "a")
    (attempt,) = claim(engine, submitted, "a")
    return submitted, completed(attempt)


def test_settle_that_waited_for_the_end_of_a_backoff_makes_it_ready(engine: Engine) -> None:
    submitted, outcome = in_backoff_while_its_dependency_runs(engine)
    with rival_to(engine) as (first, rival):
        assert fire_due(first, 10, now=LATER) == []
        later = rival.waits(settle, outcome)
    assert later.result().ready == (submitted["cleanup"],)
    assert_sound(engine, submitted.execution_id)


def test_end_of_a_backoff_that_waited_for_the_settle_makes_it_ready(engine: Engine) -> None:
    submitted, outcome = in_backoff_while_its_dependency_runs(engine)
    with rival_to(engine) as (first, rival):
        assert settle(first, outcome).ready == ()
        later = rival.waits(fire_due, 10, now=LATER)
    assert [one.id for one in later.result()] == [submitted["cleanup"]]
    assert_sound(engine, submitted.execution_id)


def test_satellite_whose_message_went_out_has_another_task_id_after_it_waited_again(engine: Engine) -> None:
    submitted = cleanup_after_a_failure(engine)
    (first,) = queueing.unsent(engine, [submitted["cleanup"]])
    retry(engine, submitted, "a")
    complete(engine, submitted, "a")
    (second,) = queueing.unsent(engine, [submitted["cleanup"]])
    assert second.dispatches > first.dispatches


def test_only_what_is_ready_still_has_a_message(engine: Engine) -> None:
    submitted = cleanup_after_a_failure(engine)
    claim(engine, submitted, "other")
    ids = list(submitted.ids.values())
    assert [one.id for one in queueing.unsent(engine, ids)] == [submitted["cleanup"]]
    assert statuses(engine, submitted)["other"] == "running"
    assert rows(engine, submitted)["cleanup"]["queued_at"] is not None
