"""Claiming with a settle what fits, and giving back what was claimed and not started."""

from __future__ import annotations

import time
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any
from uuid import UUID, uuid4

import pytest

from state_manager.store import events, leases, satellites, transitions
from state_manager.store.transitions import ClaimBudget
from tests.factories import DIAMOND, Submitted, chain, front, map_reduce, submit
from tests.store.attempts import (
    MANY,
    MAX_INPUT_BYTES,
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
from tests.store.invariants import assert_sound

if TYPE_CHECKING:
    from sqlalchemy import Engine

    from state_manager.store.transitions import Outcome, Settled


def claim_budget(**fields: Any) -> ClaimBudget:
    """ClaimBudget for ten satellites of a known kind, one millisecond each."""
    plenty = {"durations_ms": {}, "time_ms": 10, "limit": 100, "queues": ["satellites"], "lease_s": 15}
    plenty["max_input_bytes"] = MAX_INPUT_BYTES
    return ClaimBudget(**{"token": uuid4(), "worker": WORKER, "name": "a worker", **plenty, **fields})


def settle_and_claim(engine: Engine, where: ClaimBudget, *outcomes: Outcome) -> Settled:
    return transitions.settle(engine, outcomes, max_concurrent=MANY, budget=where)


def names(submitted: Submitted, ids: Any) -> list[str]:
    by_id = {one: name for name, one in submitted.ids.items()}
    return sorted(by_id[one] for one in ids)


@pytest.fixture
def split(engine: Engine) -> tuple[Submitted, Outcome, str]:
    """Twenty satellites that wait for one which is done but not settled; and the kind of all of them."""
    submitted = submit(engine, map_reduce(20))
    (attempt,) = claim(engine, submitted, "split")
    return submitted, completed(attempt), attempt.identifier


def test_settle_claims_what_fits_and_calls_the_rest_ready(
    engine: Engine, split: tuple[Submitted, Outcome, str]
) -> None:
    submitted, outcome, kind = split

    settled = settle_and_claim(engine, claim_budget(durations_ms={kind: 2}), outcome)

    assert [one.name for one in settled.claimed] == ["map0", "map1", "map2", "map3", "map4"]
    assert len(settled.ready) == 15
    assert {one.dependency_outputs and one.dependency_outputs.keys() == {"split"} for one in settled.claimed} == {True}
    assert_sound(engine, submitted.execution_id)


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        pytest.param({"durations_ms": {}}, ["map0"], id="of an unknown kind it is the first alone"),
        pytest.param({"time_ms": 0.1}, ["map0"], id="the first is claimed, however long it takes"),
        pytest.param({"limit": 3}, ["map0", "map1", "map2"], id="no more than may be written at once"),
        pytest.param({"queues": ["special"]}, [], id="nothing of another's queue"),
    ],
)
def test_room_says_what_fits(
    engine: Engine, split: tuple[Submitted, Outcome, str], fields: dict[str, Any], expected: list[str]
) -> None:
    submitted, outcome, kind = split

    settled = settle_and_claim(engine, claim_budget(**{"durations_ms": {kind: 1}, **fields}), outcome)

    assert [one.name for one in settled.claimed] == expected
    assert len(settled.ready) == 20 - len(expected)
    assert_sound(engine, submitted.execution_id)


def test_chain_is_run_by_settles_alone(engine: Engine) -> None:
    submitted = submit(engine, chain(5))
    (attempt,) = claim(engine, submitted, "s0")
    for _ in range(4):
        (attempt,) = settle_and_claim(engine, claim_budget(), completed(attempt)).claimed

    assert settle_and_claim(engine, claim_budget(), completed(attempt)).ended == "completed"
    assert_sound(engine, submitted.execution_id)


def test_settle_that_is_sent_again_finds_what_it_claimed(engine: Engine) -> None:
    submitted = submit(engine, DIAMOND)
    (attempt,) = claim(engine, submitted, "a")
    where = claim_budget(durations_ms={attempt.identifier: 1})

    first = settle_and_claim(engine, where, completed(attempt))
    again = settle_and_claim(engine, where, completed(attempt))

    assert again == first
    assert {name: row["attempt"] for name, row in rows(engine, submitted).items()} == {"a": 1, "b": 1, "c": 1, "d": 0}
    assert_sound(engine, submitted.execution_id)


def test_failure_with_another_attempt_at_once_goes_to_whoever_is_free(engine: Engine) -> None:
    submitted = submit(engine, front(1), max_attempts=2)
    (attempt,) = claim(engine, submitted, "s0")

    settled = settle_and_claim(engine, claim_budget(), failed_for_now(attempt, 0))

    assert (settled.ready, settled.claimed) == ((submitted["s0"],), ())
    assert_sound(engine, submitted.execution_id)


def test_satellites_of_a_batch_have_their_own_times(engine: Engine) -> None:
    submitted = submit(engine, front(2))
    first, second = claim(engine, submitted, "s0", "s1")
    now = time.monotonic()
    outcomes = [
        replace(completed(first), duration_ms=10, ended_at=now - 0.02),
        replace(completed(second), duration_ms=20, ended_at=now),
    ]
    claimed_at = rows(engine, submitted)["s0"]["start_time"]

    settle(engine, *outcomes, now=claimed_at + timedelta(seconds=1))

    ran = rows(engine, submitted)
    assert ran["s0"]["start_time"] > claimed_at
    for name, took_ms in (("s0", 10), ("s1", 20)):
        assert ran[name]["end_time"] - ran[name]["start_time"] == timedelta(milliseconds=took_ms)
    assert ran["s1"]["start_time"] >= ran["s0"]["end_time"]
    assert_sound(engine, submitted.execution_id)


def test_release_gives_back_what_was_not_started(engine: Engine) -> None:
    submitted = submit(engine, front(3))
    attempts = claim(engine, submitted, "s0", "s1", "s2")
    settle(engine, completed(attempts[0]))

    released = transitions.release(engine, attempts)

    assert names(submitted, released) == ["s1", "s2"]
    assert {row["attempt"] for row in rows(engine, submitted).values()} == {0, 1}
    assert satellites.ready(engine, submitted.execution_id) == [submitted["s1"], submitted["s2"]]
    assert settle(engine, completed(attempts[1])).landed == frozenset()
    assert transitions.release(engine, attempts) == []
    log = events.read(engine, submitted.execution_id, after=0, limit=100) or []
    assert [one.name for one in log if one.kind == "released"] == ["s1", "s2"]
    assert_sound(engine, submitted.execution_id)


def test_attempts_lost_together_are_charged_to_nobody_and_run_alone_from_then_on(engine: Engine) -> None:
    submitted = submit(engine, front(3), max_attempts=1)
    attempts = claim(engine, submitted, "s0", "s1", "s2")
    settle(engine, completed(attempts[0]))

    lost = leases.expire(engine, [*map(failed, attempts)], lease_over=False, max_concurrent=MANY)

    assert names(submitted, lost.ready) == ["s1", "s2"]
    assert statuses(engine, submitted) == {"s0": "completed", "s1": "pending", "s2": "pending"}
    assert_sound(engine, submitted.execution_id)
    assert claim(engine, submitted, "s1", "s2") == []
    (guilty,), (innocent,) = claim(engine, submitted, "s1"), claim(engine, submitted, "s2")
    leases.expire(engine, [failed(guilty)], lease_over=False, max_concurrent=MANY)
    settle(engine, completed(innocent))
    assert statuses(engine, submitted) == {"s0": "completed", "s1": "failed", "s2": "completed"}
    assert execution(engine, submitted)["status"] == "failed"
    assert_sound(engine, submitted.execution_id)


def test_claim_of_a_stopped_worker_is_not_found_by_another_token(engine: Engine) -> None:
    submitted = submit(engine, front(2))
    claim(engine, submitted, "s0")

    other = claim(engine, submitted, "s0", worker=UUID(int=2))

    assert other == []


def test_claim_answers_nothing_that_its_worker_took_under_another_token(engine: Engine) -> None:
    submitted = submit(engine, front(2))
    claim(engine, submitted, "s0")

    assert [one.name for one in claim(engine, submitted, "s0", "s1")] == ["s1"]
