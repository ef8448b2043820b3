"""Retrying what failed: what comes back with it, what stays, and what is not run again."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import pytest
from uuid_utils.compat import uuid4

from state_manager.states import ExecutionStatus, FailurePolicy
from state_manager.store import events, executions
from tests.factories import DIAMOND, Graph, chain, complete_layers, front, submit
from tests.store.attempts import (
    claim,
    complete,
    completed,
    execution,
    fail,
    failed,
    rows,
    settle,
    statuses,
)
from tests.store.invariants import assert_admission_is_right, assert_sound

if TYPE_CHECKING:
    from collections.abc import Collection

    from sqlalchemy import Engine

    from tests.factories import Submitted

OVERLAPPING: Graph = {"a": [], "b": [], "c": [], "ab": ["a", "b"], "bc": ["b", "c"], "ac": ["a", "c"]}


class Case(NamedTuple):
    """A graph whose `failing` fail, and what comes back when one of them, or None for all, is asked for."""

    graph: Graph
    failing: list[str]
    asked: str | None
    revived: set[str]


CASES = {
    "a chain from where it failed": Case(chain(4), ["s1"], None, {"s1", "s2", "s3"}),
    "one branch of a diamond and its join": Case(DIAMOND, ["b"], "b", {"b", "d"}),
    "both branches of a diamond": Case(DIAMOND, ["b", "c"], None, {"b", "c", "d"}),
    "a branch whose join waits for another": Case(DIAMOND, ["b", "c"], "b", {"b"}),
    "the joins that only it had lost": Case(OVERLAPPING, ["a", "c"], "a", {"a", "ab"}),
    "overlapping joins altogether": Case(OVERLAPPING, ["a", "c"], None, {"a", "c", "ab", "bc", "ac"}),
    "no one behind a join that is lost to another": Case(
        DIAMOND | {"e": ["d"], "f": ["b"], "g": ["e", "f"]}, ["b", "c"], "b", {"b", "f"}
    ),
    "one of two chains that never meet": Case({"a": [], "b": ["a"], "c": [], "d": ["c"]}, ["a", "c"], "c", {"c", "d"}),
}


def retry(engine: Engine, submitted: Submitted, name: str | None = None) -> tuple[set[str], set[str]]:
    """Answer the names of what came back, and of what may start."""
    asked = None if name is None else submitted[name]
    retried = executions.retry(engine, submitted.execution_id, asked)
    return submitted.names(retried.revived), submitted.names(retried.ready)


def run(engine: Engine, submitted: Submitted, failing: Collection[str] = ()) -> None:
    """Run what is ready until nothing is, and let some of it fail."""
    while attempts := claim(engine, submitted, *submitted.ids):
        settle(engine, *(failed(one) if one.name in failing else completed(one, one.name) for one in attempts))
        assert_sound(engine, submitted.execution_id)


@pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())
def test_retry_brings_back(engine: Engine, case: Case) -> None:
    submitted = submit(engine, case.graph)
    run(engine, submitted, case.failing)
    revived, ready = retry(engine, submitted, case.asked)
    assert revived == case.revived
    assert ready == revived & set(case.failing)
    assert_sound(engine, submitted.execution_id)
    run(engine, submitted)
    everything = set(case.failing) <= revived
    assert execution(engine, submitted)["status"] == ("completed" if everything else "failed")
    assert_admission_is_right(engine)


def test_failures_asked_for_one_after_the_other_bring_back_all(engine: Engine) -> None:
    submitted = submit(engine, DIAMOND)
    run(engine, submitted, {"b", "c"})
    assert retry(engine, submitted, "b") == ({"b"}, {"b"})
    assert retry(engine, submitted, "c") == ({"c", "d"}, {"c"})
    run(engine, submitted)
    assert execution(engine, submitted)["status"] == "completed"


def test_what_is_done_stays_done(engine: Engine) -> None:
    submitted = submit(engine, chain(3))
    run(engine, submitted, {"s1"})
    before = rows(engine, submitted)["s0"]
    retry(engine, submitted)
    after = rows(engine, submitted)
    assert after["s0"] == before
    assert {
        name: after["s1"][name] for name in ("error", "error_kind", "traceback", "start_time", "claim")
    } == dict.fromkeys(["error", "error_kind", "traceback", "start_time", "claim"])
    (attempt,) = claim(engine, submitted, "s1")
    assert attempt.dependency_outputs == {"s0": "s0"}


def test_attempts_go_on_counting_under_a_raised_limit(engine: Engine) -> None:
    submitted = submit(engine, chain(2), max_attempts=2)
    fail(engine, submitted, "s0")
    for attempt, limit in ((2, 3), (3, 4)):
        retry(engine, submitted)
        fail(engine, submitted, "s0")
        row = rows(engine, submitted)["s0"]
        assert (row["attempt"], row["max_attempts"]) == (attempt, limit)
    assert rows(engine, submitted)["s1"]["max_attempts"] == 2
    assert_sound(engine, submitted.execution_id)


def test_what_a_worker_sends_again_after_a_retry_is_refused(engine: Engine) -> None:
    submitted = submit(engine, front(1))
    (attempt,) = claim(engine, submitted, "s0")
    settle(engine, failed(attempt))
    retry(engine, submitted)
    assert settle(engine, failed(attempt)).landed == frozenset()
    assert statuses(engine, submitted) == {"s0": "pending"}


def test_retry_tells_of_the_execution_and_then_of_each_satellite(engine: Engine) -> None:
    submitted = submit(engine, chain(2))
    fail(engine, submitted, "s0")
    before = execution(engine, submitted)["seq"]
    retry(engine, submitted)
    log = events.read(engine, submitted.execution_id, after=before, limit=100)
    assert log is not None
    assert [(one.seq - before, one.kind, one.status, one.name) for one in log] == [
        (1, "retried", "running", None),
        (2, "retried", "pending", "s0"),
        (3, "retried", "pending", "s1"),
    ]


def test_what_fail_fast_skipped_and_cancelled_comes_back(engine: Engine) -> None:
    graph: Graph = {"a": [], "busy": [], "waiting": [], "behind": ["busy"], "done": []}
    submitted = submit(engine, graph, policy=FailurePolicy.FAIL_FAST)
    complete(engine, submitted, "done")
    claim(engine, submitted, "busy")
    fail(engine, submitted, "a")
    assert retry(engine, submitted, "a") == ({"a", "busy", "waiting", "behind"}, {"a", "busy", "waiting"})
    assert_sound(engine, submitted.execution_id)
    run(engine, submitted)
    assert execution(engine, submitted)["status"] == "completed"


def test_what_fail_fast_skipped_behind_another_failure_stays(engine: Engine) -> None:
    graph: Graph = {"a": [], "b": [], "behind": ["b"], "cleanup": ["b"], "waiting": []}
    submitted = submit(engine, graph, policy=FailurePolicy.FAIL_FAST, all_done=["cleanup"])
    settle(engine, *map(failed, claim(engine, submitted, "a", "b")))
    assert retry(engine, submitted, "a") == ({"a", "cleanup", "waiting"}, {"a", "cleanup", "waiting"})
    run(engine, submitted)
    assert execution(engine, submitted)["status"] == "failed"


def test_execution_that_was_out_of_time_gets_its_time_again(engine: Engine) -> None:
    submitted = submit(engine, chain(3), timeout_s=60)
    complete(engine, submitted, "s0")
    claim(engine, submitted, "s1")
    late = ExecutionStatus.FAILED
    executions.stop(engine, submitted.execution_id, late, max_concurrent=1, error="too late")
    before = execution(engine, submitted)
    assert retry(engine, submitted) == ({"s1", "s2"}, {"s1"})
    after = execution(engine, submitted)
    assert (after["status"], after["error"], after["finished_at"]) == ("running", None, None)
    assert after["times_out_at"] > before["times_out_at"]
    run(engine, submitted)
    assert execution(engine, submitted)["status"] == "completed"


def test_nothing_comes_back_where_nothing_failed(engine: Engine) -> None:
    running, done, gone = (submit(engine, chain(2)) for _ in range(3))
    run(engine, done)
    executions.stop(engine, gone.execution_id, ExecutionStatus.CANCELLED, max_concurrent=0)
    waiting = submit(engine, chain(2), max_concurrent=0)
    for one, status in ((waiting, "pending"), (running, "running"), (done, "completed"), (gone, "cancelled")):
        before = (execution(engine, one), rows(engine, one))
        for asked in (None, one["s0"]):
            retried = executions.retry(engine, one.execution_id, asked)
            assert (retried.previous, retried.revived, retried.ready) == (status, (), ())
        assert (execution(engine, one), rows(engine, one)) == before
    assert executions.retry(engine, uuid4()).previous is None


def test_satellite_that_did_not_fail_is_not_tried_again(engine: Engine) -> None:
    submitted, other = submit(engine, DIAMOND), submit(engine, front(1))
    fail(engine, other, "s0")
    run(engine, submitted, {"b"})
    for name in ("a", "c", "d"):
        assert retry(engine, submitted, name) == (set(), set())
    assert executions.retry(engine, submitted.execution_id, other["s0"]).revived == ()
    assert execution(engine, submitted)["status"] == "failed"


def test_a_thousand_satellites_come_back(engine: Engine) -> None:
    submitted = submit(engine, complete_layers(50, 20))
    fail(engine, submitted, "l0-0")
    complete(engine, submitted, *(f"l0-{at}" for at in range(1, 20)))
    assert_sound(engine, submitted.execution_id)
    revived, ready = retry(engine, submitted)
    assert (len(revived), ready) == (1000 - 19, {"l0-0"})
    assert_sound(engine, submitted.execution_id)
    assert complete(engine, submitted, "l0-0").ready == tuple(submitted[f"l1-{at}"] for at in range(20))


def test_all_done_waits_again_for_what_a_timeout_had_cancelled(engine: Engine) -> None:
    submitted = submit(engine, {"a": [], "cleanup": ["a"]}, all_done=["cleanup"])
    executions.stop(engine, submitted.execution_id, ExecutionStatus.FAILED, max_concurrent=1, error="too late")
    assert retry(engine, submitted) == ({"a", "cleanup"}, {"a"})
    assert complete(engine, submitted, "a").ready == (submitted["cleanup"],)
