"""Submitting executions and claiming their satellites: what is handed out, and what is refused."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from sqlalchemy import update
from uuid_utils.compat import uuid4

from state_manager.store import satellites
from state_manager.store.satellites import Node
from state_manager.store.tables import satellites as table
from tests.factories import DIAMOND, chain, front, submit
from tests.store.attempts import (
    LEASE,
    WORKER,
    claim,
    complete,
    completed,
    execution,
    rows,
    settle,
    take_away,
)
from tests.store.invariants import assert_sound

if TYPE_CHECKING:
    from sqlalchemy import Engine

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)


def test_submission_starts_and_says_what_is_ready(engine: Engine) -> None:
    submitted = submit(engine, {"a": [], "b": ["a"], "c": []})
    assert execution(engine, submitted)["status"] == "running"
    assert satellites.ready(engine, submitted.execution_id) == [submitted["a"], submitted["c"]]
    assert_sound(engine, submitted.execution_id)


def test_submission_due_by_its_service_level(engine: Engine) -> None:
    submitted = submit(engine, {"a": []}, now=NOON)
    assert execution(engine, submitted)["deadline"] == NOON + timedelta(hours=24)


def test_graph_reads_back_as_it_was_submitted(engine: Engine) -> None:
    submitted = submit(engine, DIAMOND)
    read = rows(engine, submitted).values()
    graph = {
        one["id"]: Node(one["id"], one["queue"], tuple(one["dependencies"]), tuple(one["dependents"])) for one in read
    }
    assert graph == submitted.nodes


def test_claim_answers_what_a_worker_needs(engine: Engine) -> None:
    submitted = submit(engine, chain(2))
    settle(engine, completed(claim(engine, submitted, "s0")[0], output={"n": 1}))
    (attempt,) = claim(engine, submitted, "s1", now=NOON + timedelta(days=9999))
    row = rows(engine, submitted)["s1"]
    assert (attempt.execution_id, attempt.name, attempt.attempt) == (submitted.execution_id, "s1", 1)
    assert attempt.dependency_outputs == {"s0": {"n": 1}}
    assert (row["status"], row["claim"], row["worker"]) == ("running", attempt.claim, WORKER)
    assert row["lease_expires_at"] == row["start_time"] + LEASE
    assert_sound(engine, submitted.execution_id)


def test_each_claim_has_a_token_of_its_own(engine: Engine) -> None:
    submitted = submit(engine, front(20))
    assert len({attempt.claim for name in front(20) for attempt in claim(engine, submitted, name)}) == 20


def test_claim_sent_again_with_its_token_finds_what_it_took(engine: Engine) -> None:
    submitted, token = submit(engine, front(2)), uuid4()
    (first,) = claim(engine, submitted, "s0", token=token)
    before = (execution(engine, submitted), rows(engine, submitted))
    assert claim(engine, submitted, "s0", token=token) == [first]
    assert (execution(engine, submitted), rows(engine, submitted)) == before


def test_attempts_are_counted(engine: Engine) -> None:
    submitted = submit(engine, front(1), max_attempts=2)
    (first,) = claim(engine, submitted, "s0")
    take_away(engine, first.id)
    (second,) = claim(engine, submitted, "s0")
    assert (first.attempt, second.attempt) == (1, 2)
    assert first.claim != second.claim


def test_claim_is_refused_while_a_dependency_is_unmet(engine: Engine) -> None:
    submitted = submit(engine, DIAMOND)
    complete(engine, submitted, "a")
    complete(engine, submitted, "b")
    assert claim(engine, submitted, "d") == []
    assert_sound(engine, submitted.execution_id)


def test_claim_is_refused_when_another_holds_it(engine: Engine) -> None:
    submitted = submit(engine, front(1))
    (first,) = claim(engine, submitted, "s0")
    assert claim(engine, submitted, "s0") == []
    assert rows(engine, submitted)["s0"]["claim"] == first.claim


def test_claim_is_refused_once_it_has_an_outcome(engine: Engine) -> None:
    submitted = submit(engine, front(2))
    complete(engine, submitted, "s0")
    assert claim(engine, submitted, "s0") == []


def test_claim_is_refused_while_the_execution_waits(engine: Engine) -> None:
    submitted = submit(engine, front(1), max_concurrent=0)
    assert claim(engine, submitted, "s0") == []
    assert_sound(engine, submitted.execution_id)


def test_claim_is_refused_before_its_time(engine: Engine) -> None:
    submitted = submit(engine, front(1), now=NOON)
    with engine.connect() as connection:
        connection.execute(update(table).values(not_before=NOON + timedelta(seconds=10), queued_at=None))
    assert claim(engine, submitted, "s0", now=NOON + timedelta(seconds=9)) == []


def test_claim_of_what_is_not_there_is_refused(engine: Engine) -> None:
    submitted = submit(engine, front(1))
    stranger = replace(submitted, ids={"s0": uuid4()})
    assert claim(engine, stranger, "s0") == []


def test_claim_of_several_takes_those_that_may_start(engine: Engine) -> None:
    submitted = submit(engine, {"a": [], "b": ["a"], "c": []})
    other = submit(engine, front(1))
    both = replace(submitted, ids=submitted.ids | other.ids)
    assert [attempt.name for attempt in claim(engine, both, "c", "b", "a", "s0")] == ["a", "c"]
    assert_sound(engine, submitted.execution_id)
