"""Taking attempts back from workers that are gone: which, what becomes of them, and what such a worker may do later."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import text, update

from state_manager.lifecycle import lost_outcome
from state_manager.retry import RetryPolicy
from state_manager.store import events, leases, satellites
from state_manager.store.tables import satellites as table
from tests.factories import DIAMOND, Graph, chain, front, submit
from tests.store.attempts import (
    LEASE,
    MANY,
    WORKER,
    claim,
    completed,
    execution,
    failed,
    failed_for_now,
    rows,
    settle,
    statuses,
)
from tests.store.invariants import assert_admission_is_right, assert_sound
from tests.store.rivals import rival_to

if TYPE_CHECKING:
    from sqlalchemy import Engine

    from state_manager.store.transitions import Claimed, Outcome, Settled

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)


def expire(
    engine: Engine,
    *outcomes: Outcome,
    lease_over: bool = False,
    max_concurrent: int = MANY,
    now: datetime | None = None,
) -> Settled:
    return leases.expire(engine, outcomes, lease_over=lease_over, max_concurrent=max_concurrent, now=now)


def again(attempt: Claimed) -> Outcome:
    return failed_for_now(attempt, 0)


def outcome_of_loss(
    engine: Engine, policy: RetryPolicy, *, timeout_s: float | None = None, attempt: int = 1
) -> Outcome:
    """Lose the worker of an attempt that started long ago, under this policy."""
    graph: Graph = {"s0": []}
    submitted = submit(engine, graph, max_attempts=policy.max_attempts, now=NOON)
    claim(engine, submitted, "s0", now=NOON)
    with engine.connect() as connection:
        values = {"timeout_s": timeout_s, "retry_policy": policy.as_json(), "attempt": attempt}
        connection.execute(update(table).values(**values))
    (row,) = leases.held_by(engine, [WORKER])
    return lost_outcome(row, "it is gone")


def test_attempt_whose_lease_is_over_goes_back_for_another(engine: Engine) -> None:
    submitted = submit(engine, chain(2), max_attempts=2, now=NOON)
    (attempt,) = claim(engine, submitted, "s0", now=NOON)
    expired = expire(engine, again(attempt), lease_over=True, now=NOON + LEASE)
    assert expired.landed == {attempt.id}
    assert (expired.ready, expired.ended) == ((attempt.id,), None)
    row = rows(engine, submitted)["s0"]
    assert (row["status"], row["claim"], row["lease_expires_at"], row["dispatches"]) == ("pending", None, None, 1)
    assert_sound(engine, submitted.execution_id)
    assert [one.attempt for one in claim(engine, submitted, "s0")] == [2]


def test_attempt_whose_lease_was_renewed_meanwhile_stays(engine: Engine) -> None:
    submitted = submit(engine, front(2), max_attempts=2, now=NOON)
    attempts = claim(engine, submitted, "s0", "s1", now=NOON)
    with engine.connect() as connection:
        connection.execute(
            text("SELECT renew(:worker, ARRAY[:id], ARRAY[:claim], :lease, :now)"),
            {"worker": WORKER, "id": attempts[0].id, "claim": attempts[0].claim, "lease": LEASE, "now": NOON + LEASE},
        )
    expired = expire(engine, *map(again, attempts), lease_over=True, now=NOON + LEASE)
    assert expired.landed == {attempts[1].id}
    assert statuses(engine, submitted) == {"s0": "running", "s1": "pending"}
    assert settle(engine, completed(attempts[0])).landed == {attempts[0].id}


def test_lease_of_a_worker_that_is_known_to_be_dead_does_not_count(engine: Engine) -> None:
    submitted = submit(engine, front(1), max_attempts=2)
    (attempt,) = claim(engine, submitted, "s0")
    assert expire(engine, again(attempt), lease_over=True).landed == frozenset()
    assert expire(engine, again(attempt), lease_over=False).landed == {attempt.id}


def test_last_attempt_that_is_lost_fails_for_good(engine: Engine) -> None:
    submitted = submit(engine, DIAMOND | {"cleanup": ["d"]}, all_done=["cleanup"])
    (attempt,) = claim(engine, submitted, "a")
    expired = expire(engine, again(attempt))
    assert expired.landed == {attempt.id}
    assert (expired.ready, expired.ended) == ((submitted["cleanup"],), None)
    assert statuses(engine, submitted) == {"a": "failed"} | dict.fromkeys("bcd", "skipped") | {"cleanup": "pending"}
    assert_sound(engine, submitted.execution_id)


def test_loss_that_ends_an_execution_admits_the_next(engine: Engine) -> None:
    running = submit(engine, front(1), max_concurrent=1)
    waiting = submit(engine, front(1), max_concurrent=1)
    (attempt,) = claim(engine, running, "s0")
    expired = expire(engine, failed(attempt), max_concurrent=1)
    assert (expired.ended, expired.admitted) == ("failed", (waiting.execution_id,))
    assert_admission_is_right(engine)


@pytest.mark.parametrize("max_attempts", [1, 2], ids=["for good", "for now"])
def test_worker_that_comes_back_late_is_refused(engine: Engine, max_attempts: int) -> None:
    submitted = submit(engine, chain(2), max_attempts=max_attempts)
    (attempt,) = claim(engine, submitted, "s0")
    expire(engine, again(attempt))
    before = (execution(engine, submitted), rows(engine, submitted))
    for outcome in (completed(attempt), failed(attempt), again(attempt)):
        assert settle(engine, outcome).landed == frozenset()
    assert expire(engine, again(attempt)).landed == frozenset()
    assert (execution(engine, submitted), rows(engine, submitted)) == before


def test_attempt_that_was_settled_is_not_taken_back(engine: Engine) -> None:
    submitted = submit(engine, chain(2), max_attempts=2)
    (attempt,) = claim(engine, submitted, "s0")
    with rival_to(engine) as (first, rival):
        settle(first, completed(attempt))
        later = rival.waits(expire, again(attempt))
    assert (later.result().landed, later.result().ready) == (frozenset(), ())
    assert statuses(engine, submitted) == {"s0": "completed", "s1": "pending"}
    assert settle(engine, completed(attempt)).landed == {attempt.id}


def test_of_two_that_take_an_attempt_back_the_second_finds_nothing(engine: Engine) -> None:
    submitted = submit(engine, front(1), max_attempts=3)
    (attempt,) = claim(engine, submitted, "s0")
    with rival_to(engine) as (first, rival):
        assert expire(first, again(attempt)).ready == (attempt.id,)
        later = rival.waits(expire, again(attempt))
    assert (later.result().landed, later.result().ready) == (frozenset(), ())
    assert rows(engine, submitted)["s0"]["attempt"] == 1
    assert_sound(engine, submitted.execution_id)


def test_loss_stands_in_the_event_log(engine: Engine) -> None:
    submitted = submit(engine, front(1), max_attempts=2)
    claim(engine, submitted, "s0")
    (row,) = leases.held_by(engine, [WORKER])
    expire(engine, lost_outcome(row, "it is gone"))
    log = events.read(engine, submitted.execution_id, after=0, limit=100)
    assert log is not None
    error = "worker lost in attempt 1: it is gone"
    assert (log[-1].kind, log[-1].status) == ("retrying", "pending")
    assert {"attempt": 1, "error": error, "kind": "worker_lost"}.items() <= (log[-1].data or {}).items()
    assert satellites.ready(engine, submitted.execution_id) == [submitted["s0"]]


def test_lost_worker_costs_an_attempt_and_no_wait(engine: Engine) -> None:
    outcome = outcome_of_loss(engine, RetryPolicy(max_attempts=2, retry_on=frozenset()))
    assert (outcome.error_kind, outcome.retry_after_s) == ("worker_lost", 0)


def test_worker_lost_in_the_last_attempt_says_so(engine: Engine) -> None:
    outcome = outcome_of_loss(engine, RetryPolicy(max_attempts=3), attempt=3)
    assert (outcome.error_kind, outcome.retry_after_s) == ("worker_lost", None)
    assert outcome.error == "worker lost in attempt 3: it is gone; it lost its worker in its last attempt of 3"


def _policy(**other: Any) -> RetryPolicy:
    return RetryPolicy(base_delay=8, jitter=False, **other)


@pytest.mark.parametrize(
    ("policy", "attempt", "retry_after_s"),
    [(_policy(), 2, 16), (_policy(), 3, None), (_policy(retry_on=frozenset()), 1, None)],
    ids=["waits", "has no attempt left", "is not retried"],
)
def test_satellite_that_was_killed_past_its_time_timed_out_and(
    engine: Engine, policy: RetryPolicy, attempt: int, retry_after_s: float | None
) -> None:
    outcome = outcome_of_loss(engine, policy, timeout_s=60, attempt=attempt)
    assert (outcome.error_kind, outcome.retry_after_s) == ("timeout", retry_after_s)
    assert outcome.error == "timed out after 60 s, did not end when interrupted, and its process was killed"


def test_worker_lost_before_its_satellite_was_past_its_time_is_no_timeout(engine: Engine) -> None:
    age_s = (datetime.now(UTC) - NOON) / timedelta(seconds=1)
    assert outcome_of_loss(engine, RetryPolicy(), timeout_s=age_s + 3600).error_kind == "worker_lost"


def test_attempts_that_were_claimed_one_by_one_are_charged_each(engine: Engine) -> None:
    submitted = submit(engine, front(2), max_attempts=2)
    attempts = [*claim(engine, submitted, "s0"), *claim(engine, submitted, "s1")]
    expire(engine, *map(again, attempts))
    for row in rows(engine, submitted).values():
        assert (row["status"], row["attempt"], row["alone"]) == ("pending", 1, False)
