"""Tokens and locks: who may give an attempt back or take it back, and what must wait for what."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING
from uuid import uuid4

import psycopg
import pytest
from sqlalchemy import update

from state_manager.states import FailurePolicy
from state_manager.store import executions, leases, queueing, transitions
from state_manager.store.tables import satellites
from state_manager.store.transitions import ClaimBudget
from tests.factories import Graph, front, submit
from tests.store.attempts import (
    LEASE,
    MANY,
    MAX_INPUT_BYTES,
    WORKER,
    claim,
    complete,
    completed,
    fail,
    failed,
    failed_for_now,
    fire_due,
    rows,
    settle,
    statuses,
)
from tests.store.invariants import assert_sound
from tests.store.rivals import rival_to
from tests.store.test_readiness import LATER

if TYPE_CHECKING:
    from collections.abc import Callable

    from sqlalchemy import Engine

    from state_manager.store.transitions import Claimed, Outcome
    from tests.factories import Submitted


def test_release_by_another_token_gives_nothing_back(engine: Engine) -> None:
    submitted = submit(engine, front(1))
    (attempt,) = claim(engine, submitted, "s0")
    assert transitions.release(engine, [replace(attempt, claim=uuid4())]) == []
    assert statuses(engine, submitted) == {"s0": "running"}
    assert settle(engine, completed(attempt)).landed == {attempt.id}


def test_release_waits_for_a_settle_of_its_execution(engine: Engine) -> None:
    submitted = submit(engine, front(2))
    done, unstarted = claim(engine, submitted, "s0", "s1")
    with rival_to(engine) as (first, rival):
        settle(first, completed(done))
        later = rival.waits(transitions.release, [unstarted])
    assert later.result() == [unstarted.id]
    assert_sound(engine, submitted.execution_id)


def test_release_that_waited_for_the_cancel_of_its_attempt_gives_nothing_back(engine: Engine) -> None:
    submitted = submit(engine, front(2), policy=FailurePolicy.FAIL_FAST)
    bad, unstarted = claim(engine, submitted, "s0", "s1")
    with rival_to(engine) as (first, rival):
        settle(first, failed(bad))
        later = rival.waits(transitions.release, [unstarted])
    assert later.result() == []
    assert_sound(engine, submitted.execution_id)


def test_loss_that_waited_for_the_settle_of_the_rest_of_its_batch_is_charged(engine: Engine) -> None:
    submitted = submit(engine, front(2), max_attempts=2)
    done, lost = claim(engine, submitted, "s0", "s1")
    with rival_to(engine) as (first, rival):
        settle(first, completed(done))
        later = rival.waits(leases.expire, [failed_for_now(lost, 0)], lease_over=False, max_concurrent=MANY)
    assert later.result().landed == {lost.id}
    row = rows(engine, submitted)["s1"]
    assert (row["status"], row["attempt"], row["alone"]) == ("pending", 1, False)
    assert_sound(engine, submitted.execution_id)


def release_it(engine: Engine, attempt: Claimed) -> None:
    transitions.release(engine, [attempt])


def fail_for_now(engine: Engine, attempt: Claimed) -> None:
    settle(engine, failed_for_now(attempt, 0))


def wait_for_another_attempt(engine: Engine, attempt: Claimed) -> None:
    settle(engine, failed_for_now(attempt, 10))
    fire_due(engine, 10, LATER)


def lose_its_worker(engine: Engine, attempt: Claimed) -> None:
    leases.expire(engine, [failed_for_now(attempt, 0)], lease_over=False, max_concurrent=MANY)


def fail_and_retry(engine: Engine, attempt: Claimed) -> None:
    settle(engine, failed(attempt))
    executions.retry(engine, attempt.execution_id)


@pytest.mark.parametrize(
    "come_back", [release_it, fail_for_now, wait_for_another_attempt, lose_its_worker, fail_and_retry]
)
def test_satellite_that_comes_back_has_a_task_id_that_it_never_had(
    engine: Engine, come_back: Callable[[Engine, Claimed], None]
) -> None:
    submitted = submit(engine, front(1), max_attempts=9)
    used = []
    for _ in range(3):
        ((sent),) = queueing.unsent(engine, [submitted["s0"]])
        used.append(sent.dispatches)
        come_back(engine, claim(engine, submitted, "s0")[0])
    used += [one.dispatches for one in queueing.unsent(engine, [submitted["s0"]])]
    assert used == sorted(set(used))


def test_message_that_is_sent_again_has_another_task_id(engine: Engine) -> None:
    submitted = submit(engine, front(1))
    (first,) = queueing.unsent(engine, [submitted["s0"]])
    (second,) = queueing.take_lost_messages(engine, "satellites", LATER, 10)
    assert second.dispatches > first.dispatches


FORK: Graph = {"a": [], "b": ["a"], "c": ["a"]}


def settle_with_room_for_all(engine: Engine, outcome: Outcome) -> list[str]:
    """Settle, and claim whatever may be claimed by this worker; return the names."""
    durations_ms = {"satellite/test/nothing": 1.0}
    budget = ClaimBudget(
        uuid4(), WORKER, "a worker", LEASE.total_seconds(), ["satellites"], durations_ms, 100, 100, MAX_INPUT_BYTES
    )
    settled = transitions.settle(engine, [outcome], max_concurrent=MANY, budget=budget)
    return [one.name for one in settled.claimed]


def write(engine: Engine, submitted: Submitted, name: str, **values: object) -> None:
    with engine.connect() as connection:
        connection.execute(update(satellites).where(satellites.c.id == submitted[name]).values(**values))


def test_settle_claims_nothing_that_must_run_alone(engine: Engine) -> None:
    submitted = submit(engine, FORK)
    write(engine, submitted, "b", alone=True)
    assert settle_with_room_for_all(engine, completed(*claim(engine, submitted, "a"))) == ["c"]
    assert_sound(engine, submitted.execution_id)


def test_settle_claims_nothing_of_a_queue_that_its_worker_does_not_listen_to(engine: Engine) -> None:
    submitted = submit(engine, FORK)
    write(engine, submitted, "b", queue="gpu")
    assert settle_with_room_for_all(engine, completed(*claim(engine, submitted, "a"))) == ["c"]
    assert_sound(engine, submitted.execution_id)


def test_claim_of_several_leaves_out_what_must_run_alone(engine: Engine) -> None:
    submitted = submit(engine, front(2))
    write(engine, submitted, "s0", alone=True)
    assert [one.name for one in claim(engine, submitted, "s0", "s1")] == ["s1"]
    assert [one.name for one in claim(engine, submitted, "s0")] == ["s0"]


def test_fail_fast_wakes_the_workers_that_run_its_satellites(engine: Engine, database_uri: str) -> None:
    submitted = submit(engine, front(2), policy=FailurePolicy.FAIL_FAST)
    bad, _ = claim(engine, submitted, "s0", "s1")
    with psycopg.connect(database_uri, autocommit=True) as worker:
        worker.execute("LISTEN interrupt")
        settle(engine, failed(bad))
        (woken,) = worker.notifies(timeout=10, stop_after=1)
    assert woken.payload == str(submitted.execution_id)


def test_failure_that_cancels_nothing_wakes_nobody(engine: Engine, database_uri: str) -> None:
    submitted = submit(engine, front(2))
    with psycopg.connect(database_uri, autocommit=True) as worker:
        worker.execute("LISTEN interrupt")
        fail(engine, submitted, "s0")
        complete(engine, submitted, "s1")
        worker.execute("NOTIFY interrupt, 'the end'")
        (woken,) = worker.notifies(timeout=10, stop_after=1)
    assert woken.payload == "the end"


@pytest.mark.parametrize("late_first", [True, False])
def test_late_outcome_settled_beside_the_present_one_leaves_nothing_in_it(engine: Engine, late_first: bool) -> None:
    submitted = submit(engine, front(1), max_attempts=9)
    (late,) = claim(engine, submitted, "s0")
    transitions.release(engine, [late])
    (present,) = claim(engine, submitted, "s0")
    outcomes = [replace(failed(late), output={"late": True}), completed(present, "present")]
    settle(engine, *(outcomes if late_first else reversed(outcomes)))
    row = rows(engine, submitted)["s0"]
    assert (row["status"], row["output"], row["error"], row["claim"]) == ("completed", "present", None, present.claim)
    assert_sound(engine, submitted.execution_id)
