"""Expansion and gather: what a parent and its children mean to each transition."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from state_manager.states import ExecutionStatus, FailurePolicy
from state_manager.store import executions, leases, stuck, transitions
from tests.factories import submit
from tests.store.attempts import (
    MANY,
    claim,
    complete,
    completed,
    execution,
    expanded,
    fail,
    failed,
    failed_for_now,
    fire_due,
    requeued,
    rows,
    settle,
    skipped,
    statuses,
)
from tests.store.invariants import assert_sound

if TYPE_CHECKING:
    from collections.abc import Callable

    from sqlalchemy import Engine

    from state_manager.store.transitions import Claimed, Outcome, Settled
    from tests.factories import Graph, Submitted

FAN: dict[str, Any] = {"for_each": []}
PARENT_AND_NEXT: Graph = {"parent": [], "next": ["parent"]}


def expand(
    engine: Engine, submitted: Submitted, items: int, group: Graph | None = None, name: str = "parent"
) -> Settled:
    """Claim a parent and expand it; its children can be named from then on."""
    (attempt,) = claim(engine, submitted, name)
    outcome = expanded(attempt, items, group)
    settled = settle(engine, outcome)
    submitted.ids.update({name: row["id"] for name, row in rows(engine, submitted).items()})
    return settled


def fan_out(engine: Engine, items: int, group: Graph | None = None, **more: Any) -> Submitted:
    submitted = submit(engine, PARENT_AND_NEXT, dynamic={"parent": more.pop("dynamic", FAN)}, **more)
    expand(engine, submitted, items, group)
    return submitted


def test_expansion_adds_the_children_and_gives_the_attempt_back(engine: Engine) -> None:
    submitted = submit(engine, PARENT_AND_NEXT, dynamic={"parent": FAN})
    settled = expand(engine, submitted, 3)
    names = ["parent[0]", "parent[1]", "parent[2]"]
    assert list(settled.ready) == [submitted[name] for name in names]
    parent = rows(engine, submitted)["parent"]
    assert (parent["status"], parent["unmet"], parent["attempt"], parent["children"]) == ("pending", 3, 0, 3)
    assert execution(engine, submitted)["total"] == 5
    assert_sound(engine, submitted.execution_id)


def test_parent_gathers_after_the_last_child(engine: Engine) -> None:
    submitted = fan_out(engine, 2)
    complete(engine, submitted, "parent[0]")
    assert claim(engine, submitted, "parent") == []
    assert complete(engine, submitted, "parent[1]").ready == (submitted["parent"],)
    assert complete(engine, submitted, "parent").ready == (submitted["next"],)
    complete(engine, submitted, "next")
    assert execution(engine, submitted)["status"] == "completed"
    assert_sound(engine, submitted.execution_id)


def test_expansion_settled_twice_inserts_once_and_answers_the_same(engine: Engine) -> None:
    submitted = submit(engine, PARENT_AND_NEXT, dynamic={"parent": FAN})
    (attempt,) = claim(engine, submitted, "parent")
    outcome = expanded(attempt, 2)
    first = settle(engine, outcome)
    assert settle(engine, outcome) == first
    assert execution(engine, submitted)["total"] == 4
    assert_sound(engine, submitted.execution_id)


def test_expansion_of_an_attempt_that_was_taken_away_changes_nothing(engine: Engine) -> None:
    submitted = submit(engine, PARENT_AND_NEXT, dynamic={"parent": FAN})
    (late,) = claim(engine, submitted, "parent")
    transitions.release(engine, [late])
    assert settle(engine, expanded(late, 2)).landed == frozenset()
    assert execution(engine, submitted)["total"] == 2
    expand(engine, submitted, 1)
    assert_sound(engine, submitted.execution_id)


def test_gather_waits_for_children_that_fail(engine: Engine) -> None:
    submitted = fan_out(engine, 2)
    fail(engine, submitted, "parent[0]")
    assert statuses(engine, submitted)["parent"] == "pending"
    complete(engine, submitted, "parent[1]")
    fail(engine, submitted, "parent")
    assert statuses(engine, submitted)["next"] == "skipped"
    assert execution(engine, submitted)["status"] == "failed"
    assert_sound(engine, submitted.execution_id)


def failed_fan_out(engine: Engine) -> Submitted:
    """Three items, of which the first and the last have failed, and so has their parent."""
    submitted = fan_out(engine, 3)
    complete(engine, submitted, "parent[1]")
    for name in ("parent[0]", "parent[2]", "parent"):
        fail(engine, submitted, name)
    return submitted


def test_retry_runs_the_failed_children_and_nothing_else(engine: Engine) -> None:
    submitted = failed_fan_out(engine)
    retried = executions.retry(engine, submitted.execution_id)
    assert submitted.names(retried.ready) == {"parent[0]", "parent[2]"}
    assert statuses(engine, submitted)["parent[1]"] == "completed"
    complete(engine, submitted, "parent[0]", "parent[2]")
    complete(engine, submitted, "parent")
    complete(engine, submitted, "next")
    assert execution(engine, submitted)["status"] == "completed"
    assert_sound(engine, submitted.execution_id)


def test_retry_of_one_child_brings_its_parent_back(engine: Engine) -> None:
    submitted = failed_fan_out(engine)
    retried = executions.retry(engine, submitted.execution_id, submitted["parent[0]"])
    assert submitted.names(retried.revived) == {"parent[0]", "parent", "next"}
    complete(engine, submitted, "parent[0]")
    fail(engine, submitted, "parent")  # of the other one
    assert_sound(engine, submitted.execution_id)


def test_retry_of_a_parent_brings_its_failed_children_back(engine: Engine) -> None:
    submitted = failed_fan_out(engine)
    retried = executions.retry(engine, submitted.execution_id, submitted["parent"])
    assert submitted.names(retried.revived) == {"parent[0]", "parent[2]", "parent", "next"}
    assert_sound(engine, submitted.execution_id)


OUTCOMES = {
    "failed": failed,
    "failed for now": lambda attempt: failed_for_now(attempt, 60),
    "skipped": skipped,
    "completed": lambda attempt: completed(attempt, {"a": 1}),
}


@pytest.mark.parametrize("outcome", OUTCOMES.values(), ids=OUTCOMES)
def test_gather_that_a_retry_overtakes_is_done_again(engine: Engine, outcome: Callable[[Claimed], Outcome]) -> None:
    submitted = fan_out(engine, 2)
    fail(engine, submitted, "parent[0]")
    complete(engine, submitted, "parent[1]")
    (gather,) = claim(engine, submitted, "parent")
    executions.retry(engine, submitted.execution_id, submitted["parent[0]"])
    assert settle(engine, outcome(gather)).landed == {gather.id}
    parent = rows(engine, submitted)["parent"]
    assert (parent["status"], parent["attempt"], parent["not_before"], parent["output"]) == ("pending", 0, None, None)
    assert_sound(engine, submitted.execution_id)
    assert complete(engine, submitted, "parent[0]").ready == (submitted["parent"],)
    assert_sound(engine, submitted.execution_id)


def test_groups_run_their_own_graph(engine: Engine) -> None:
    submitted = submit(engine, PARENT_AND_NEXT, dynamic={"parent": FAN})
    settled = expand(engine, submitted, 2, {"a": [], "b": ["a"]})
    assert submitted.names(settled.ready) == {"parent[0]/a", "parent[1]/a"}
    assert complete(engine, submitted, "parent[0]/a").ready == (submitted["parent[0]/b"],)
    fail(engine, submitted, "parent[1]/a")
    assert statuses(engine, submitted)["parent[1]/b"] == "skipped"
    assert complete(engine, submitted, "parent[0]/b").ready == (submitted["parent"],)
    assert_sound(engine, submitted.execution_id)


@pytest.mark.parametrize("group", [None, {"a": [], "b": ["a"]}])
def test_max_parallel_opens_the_next_item_when_one_ends(engine: Engine, group: Graph | None) -> None:
    submitted = submit(engine, PARENT_AND_NEXT, dynamic={"parent": {**FAN, "max_parallel": 2}})
    ready = submitted.names(expand(engine, submitted, 4, group).ready)
    began = sorted(ready)
    last = {name.replace("/a", "/b") for name in ready}
    while ready:
        assert_sound(engine, submitted.execution_id)
        one = min(ready)
        ready = ready - {one} | submitted.names(complete(engine, submitted, one).ready)
        began += sorted(ready - set(began))
        assert len({name.partition("/")[0] for name in ready}) <= 2
    assert len(last) == 2
    assert began[-2:] == ["parent", "next"]
    assert execution(engine, submitted)["status"] == "completed"


def test_retry_of_many_children_keeps_to_max_parallel(engine: Engine) -> None:
    submitted = fan_out(engine, 4, dynamic={**FAN, "max_parallel": 2})
    for index in range(4):
        fail(engine, submitted, f"parent[{index}]")
    fail(engine, submitted, "parent")
    retried = executions.retry(engine, submitted.execution_id)
    assert submitted.names(retried.ready) == {"parent[0]", "parent[1]"}
    assert_sound(engine, submitted.execution_id)


def test_fail_fast_skips_the_parent_with_what_has_not_started(engine: Engine) -> None:
    submitted = fan_out(engine, 3, policy=FailurePolicy.FAIL_FAST)
    claim(engine, submitted, "parent[1]")
    fail(engine, submitted, "parent[0]")
    assert statuses(engine, submitted) == {
        "parent": "skipped", "next": "skipped", "parent[0]": "failed", "parent[1]": "cancelled", "parent[2]": "skipped",
    }  # fmt: skip
    executions.retry(engine, submitted.execution_id)
    complete(engine, submitted, "parent[0]", "parent[1]", "parent[2]")
    complete(engine, submitted, "parent")
    assert_sound(engine, submitted.execution_id)


def test_cancel_ends_parent_and_children(engine: Engine) -> None:
    submitted = fan_out(engine, 3, dynamic={**FAN, "max_parallel": 1})
    claim(engine, submitted, "parent[0]")
    executions.stop(engine, submitted.execution_id, ExecutionStatus.CANCELLED, max_concurrent=MANY)
    assert set(statuses(engine, submitted).values()) == {"cancelled"}
    assert_sound(engine, submitted.execution_id)


def test_lost_worker_of_an_expansion_or_a_gather_is_charged_as_ever(engine: Engine) -> None:
    submitted = submit(engine, PARENT_AND_NEXT, dynamic={"parent": FAN}, max_attempts=2)
    (attempt,) = claim(engine, submitted, "parent")
    leases.expire(engine, [failed(attempt)], lease_over=False, max_concurrent=MANY)
    assert statuses(engine, submitted)["parent"] == "failed"
    assert_sound(engine, submitted.execution_id)


def test_skipped_attempt_skips_what_depends_on_it_and_fails_nothing(engine: Engine) -> None:
    submitted = submit(engine, {"a": [], "b": ["a"], "c": []})
    (attempt,) = claim(engine, submitted, "a")
    settle(engine, skipped(attempt))
    complete(engine, submitted, "c")
    assert statuses(engine, submitted) == {"a": "skipped", "b": "skipped", "c": "completed"}
    assert [row["reason"] for row in rows(engine, submitted).values()] == ["prune", "upstream", None]
    assert execution(engine, submitted)["status"] == "completed"
    assert_sound(engine, submitted.execution_id)


@pytest.mark.parametrize("reason", ["if", "prune"])
def test_retry_leaves_what_skipped_itself(engine: Engine, reason: str) -> None:
    submitted = submit(engine, {"a": [], "b": ["a"], "c": [], "d": ["a", "c"]})
    (attempt,) = claim(engine, submitted, "a")
    settle(engine, skipped(attempt, reason))
    fail(engine, submitted, "c")
    assert submitted.names(executions.retry(engine, submitted.execution_id).revived) == {"c"}
    complete(engine, submitted, "c")
    assert execution(engine, submitted)["status"] == "completed"
    assert_sound(engine, submitted.execution_id)


def test_requeued_attempt_runs_again_when_due_and_is_not_charged(engine: Engine) -> None:
    submitted = submit(engine, {"a": []})
    for _ in range(3):  # one attempt is allowed
        (attempt,) = claim(engine, submitted, "a")
        assert attempt.attempt == 1
        settle(engine, requeued(attempt, 60))
        assert claim(engine, submitted, "a") == []
        assert [one.id for one in fire_due(engine, MANY, datetime.now(UTC) + timedelta(minutes=2))] == [attempt.id]
    settle(engine, completed(*claim(engine, submitted, "a")))
    assert_sound(engine, submitted.execution_id)


def test_held_items_that_should_start_are_found_and_opened(engine: Engine) -> None:
    submitted = fan_out(engine, 3, dynamic={**FAN, "max_parallel": 1})
    with engine.connect() as connection:
        connection.exec_driver_sql("UPDATE satellites SET held = true, queued_at = NULL WHERE held = false")
    faults = stuck.faults_of(engine, submitted.execution_id)
    assert faults.unopened == (submitted["parent"],)
    assert stuck.repair(engine, submitted.execution_id, max_concurrent=MANY)[0] == 1
    assert_sound(engine, submitted.execution_id)


def test_expansion_beyond_the_limit_of_an_execution_is_refused(engine: Engine) -> None:
    submitted = submit(engine, PARENT_AND_NEXT, dynamic={"parent": FAN})
    (attempt,) = claim(engine, submitted, "parent")
    with pytest.raises(Exception, match="more than 1000 satellites"):
        settle(engine, expanded(attempt, MANY))
    assert execution(engine, submitted)["total"] == 2


def test_skipped_attempt_does_not_fail_fast(engine: Engine) -> None:
    submitted = submit(engine, {"a": [], "b": ["a"], "c": []}, policy=FailurePolicy.FAIL_FAST)
    (attempt,) = claim(engine, submitted, "a")
    settle(engine, skipped(attempt, "if"))
    assert statuses(engine, submitted) == {"a": "skipped", "b": "skipped", "c": "pending"}
    assert_sound(engine, submitted.execution_id)


def test_fail_fast_skips_what_max_parallel_holds(engine: Engine) -> None:
    submitted = fan_out(engine, 3, dynamic={**FAN, "max_parallel": 1}, policy=FailurePolicy.FAIL_FAST)
    fail(engine, submitted, "parent[0]")
    assert statuses(engine, submitted)["parent[2]"] == "skipped"
    assert_sound(engine, submitted.execution_id)
