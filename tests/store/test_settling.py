"""Settling attempts: what is recorded, what may start because of it, and what can no longer."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest

from state_manager.states import FailurePolicy
from state_manager.store import events
from tests.factories import DIAMOND, chain, front, submit
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
    take_away,
)
from tests.store.invariants import assert_sound

if TYPE_CHECKING:
    from sqlalchemy import Engine

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)


def test_settle_says_what_became_ready(engine: Engine) -> None:
    submitted = submit(engine, DIAMOND)
    settled = complete(engine, submitted, "a")
    assert settled.landed == {submitted["a"]}
    assert settled.ready == (submitted["b"], submitted["c"])
    assert complete(engine, submitted, "b").ready == ()
    assert complete(engine, submitted, "c").ready == (submitted["d"],)
    assert_sound(engine, submitted.execution_id)


def test_settle_of_a_batch_joins_as_one_by_one_would(engine: Engine) -> None:
    submitted = submit(engine, DIAMOND)
    complete(engine, submitted, "a")
    settled = complete(engine, submitted, "b", "c")
    assert settled.landed == {submitted["b"], submitted["c"]}
    assert settled.ready == (submitted["d"],)
    assert_sound(engine, submitted.execution_id)


def test_last_settle_ends_the_execution(engine: Engine) -> None:
    submitted = submit(engine, front(2))
    assert complete(engine, submitted, "s0").ended is None
    assert complete(engine, submitted, "s1").ended == "completed"
    assert execution(engine, submitted)["status"] == "completed"
    assert_sound(engine, submitted.execution_id)


def test_outcome_is_recorded_with_all_that_came_of_it(engine: Engine) -> None:
    submitted = submit(engine, front(2))
    one, two = claim(engine, submitted, "s0", "s1")
    usage: dict[str, float | None] = {"cpu_seconds": 0.5}
    settle(engine, replace(completed(one, output=[1e300, None]), output_bytes=13, resource_usage=usage), failed(two))
    done, lost = rows(engine, submitted).values()
    assert (done["output"], done["output_bytes"], done["resource_usage"]) == ([1e300, None], 13, usage)
    assert (lost["error"], lost["error_kind"], lost["traceback"]) == ("ValueError: no", "logic_error", "…")
    assert done["lease_expires_at"] is None


def test_failure_stands_in_the_event_log(engine: Engine) -> None:
    submitted = submit(engine, front(1))
    fail(engine, submitted, "s0")
    log = events.read(engine, submitted.execution_id, after=0, limit=100)
    assert log is not None
    (event,) = [one for one in log if (one.kind, one.name) == ("failed", "s0")]
    told = {"attempt": 1, "error": "ValueError: no", "kind": "logic_error", "traceback": "…"}
    assert told.items() <= (event.data or {}).items()


def test_late_settle_changes_nothing(engine: Engine) -> None:
    submitted = submit(engine, chain(2), max_attempts=2)
    (late,) = claim(engine, submitted, "s0")
    take_away(engine, late.id)
    (present,) = claim(engine, submitted, "s0")
    before = (execution(engine, submitted), rows(engine, submitted))
    settled = settle(engine, completed(late))
    assert (settled.landed, settled.ready, settled.ended) == (frozenset(), (), None)
    assert (execution(engine, submitted), rows(engine, submitted)) == before
    assert settle(engine, completed(present)).landed == {present.id}


def test_late_settle_among_others_changes_nothing_of_its_own(engine: Engine) -> None:
    submitted = submit(engine, front(2))
    late, present = claim(engine, submitted, "s0", "s1")
    take_away(engine, late.id)
    assert settle(engine, completed(late), completed(present)).landed == {present.id}
    assert statuses(engine, submitted) == {"s0": "pending", "s1": "completed"}


@pytest.mark.parametrize("outcome", [completed, failed])
def test_settle_sent_again_answers_as_the_first_did(engine: Engine, outcome: type) -> None:
    graph = {"a": [], "b": ["a"], "lost": ["a"], "cleanup": ["lost"]}
    submitted = submit(engine, graph, all_done=["b", "cleanup"])
    (attempt,) = claim(engine, submitted, "a")
    first = settle(engine, outcome(attempt))
    before = (execution(engine, submitted), rows(engine, submitted))
    again = settle(engine, outcome(attempt))
    assert first.ready
    assert (again.landed, again.ready) == (first.landed, first.ready)
    assert (execution(engine, submitted), rows(engine, submitted)) == before


def test_settle_sent_again_does_not_name_what_has_started_since(engine: Engine) -> None:
    submitted = submit(engine, {"a": [], "b": ["a"], "c": ["a"]})
    (attempt,) = claim(engine, submitted, "a")
    settle(engine, completed(attempt))
    claim(engine, submitted, "b")
    assert settle(engine, completed(attempt)).ready == (submitted["c"],)


def test_settle_sent_again_with_more_records_the_rest(engine: Engine) -> None:
    submitted = submit(engine, DIAMOND | {"e": []})
    one, two = claim(engine, submitted, "a", "e")
    settle(engine, completed(one))
    settled = settle(engine, completed(one), completed(two))
    assert settled.landed == {one.id, two.id}
    assert set(settled.ready) == {submitted["b"], submitted["c"]}
    assert_sound(engine, submitted.execution_id)


def test_failure_skips_descendants_and_nothing_else(engine: Engine) -> None:
    graph = {"a": [], "child": ["a"], "grandchild": ["child", "other"], "other": [], "free": ["other"]}
    submitted = submit(engine, graph)
    fail(engine, submitted, "a")
    assert statuses(engine, submitted) == {
        "a": "failed",
        "child": "skipped",
        "grandchild": "skipped",
        "other": "pending",
        "free": "pending",
    }
    assert rows(engine, submitted)["grandchild"]["reason"] == "upstream"
    assert_sound(engine, submitted.execution_id)
    complete(engine, submitted, "other")
    assert complete(engine, submitted, "free").ended == "failed"
    assert_sound(engine, submitted.execution_id)


def test_failure_that_leaves_nothing_to_do_ends_the_execution(engine: Engine) -> None:
    submitted = submit(engine, chain(5))
    assert fail(engine, submitted, "s0").ended == "failed"
    assert_sound(engine, submitted.execution_id)


def test_all_done_starts_after_failures_and_skips(engine: Engine) -> None:
    graph = {"a": [], "skipped": ["a"], "fine": [], "cleanup": ["a", "skipped", "fine"], "after": ["cleanup"]}
    submitted = submit(engine, graph, all_done=["cleanup"])
    assert fail(engine, submitted, "a").ready == ()
    assert complete(engine, submitted, "fine").ready == (submitted["cleanup"],)
    assert complete(engine, submitted, "cleanup").ready == (submitted["after"],)
    assert complete(engine, submitted, "after").ended == "failed"
    assert_sound(engine, submitted.execution_id)


def test_all_done_right_behind_a_failure_is_ready_at_once(engine: Engine) -> None:
    submitted = submit(engine, {"a": [], "b": ["a"], "c": ["b"]}, all_done=["c"])
    assert fail(engine, submitted, "a").ready == (submitted["c"],)
    assert_sound(engine, submitted.execution_id)


def test_fail_fast_skips_what_waits_and_cancels_what_runs(engine: Engine) -> None:
    graph = {"a": [], "child": ["a"], "busy": [], "waiting": [], "cleanup": ["a"], "done": []}
    submitted = submit(engine, graph, policy=FailurePolicy.FAIL_FAST, all_done=["cleanup"])
    complete(engine, submitted, "done")
    (busy,) = claim(engine, submitted, "busy")
    settled = fail(engine, submitted, "a")
    assert (settled.ready, settled.ended) == ((), "failed")
    assert {name: (row["status"], row["reason"]) for name, row in rows(engine, submitted).items()} == {
        "a": ("failed", None),
        "child": ("skipped", "upstream"),
        "busy": ("cancelled", None),
        "waiting": ("skipped", "fail_fast"),
        "cleanup": ("skipped", "fail_fast"),
        "done": ("completed", None),
    }
    assert settle(engine, completed(busy)).landed == frozenset()
    assert_sound(engine, submitted.execution_id)


def test_fail_fast_keeps_the_outcomes_of_its_own_batch(engine: Engine) -> None:
    submitted = submit(engine, {"a": [], "b": [], "c": ["b"]}, policy=FailurePolicy.FAIL_FAST)
    one, two = claim(engine, submitted, "a", "b")
    settled = settle(engine, failed(one), completed(two))
    assert (settled.ready, settled.ended) == ((), "failed")
    assert statuses(engine, submitted) == {"a": "failed", "b": "completed", "c": "skipped"}
    assert_sound(engine, submitted.execution_id)


def test_failures_of_one_batch_skip_a_shared_descendant_once(engine: Engine) -> None:
    submitted = submit(engine, {"a": [], "b": [], "c": ["a", "b"], "d": ["c"], "e": ["a", "b", "c"]}, all_done=["e"])
    one, two = claim(engine, submitted, "a", "b")
    assert settle(engine, failed(one), failed(two)).ready == (submitted["e"],)
    assert_sound(engine, submitted.execution_id)


def test_failure_settled_again_names_what_is_ready_behind_the_skipped(engine: Engine) -> None:
    submitted = submit(engine, {"a": [], "b": ["a"], "c": ["b"], "cleanup": ["c"]}, all_done=["cleanup"])
    (attempt,) = claim(engine, submitted, "a")
    assert settle(engine, failed(attempt)).ready == (submitted["cleanup"],)
    assert settle(engine, failed(attempt)).ready == (submitted["cleanup"],)


def test_settle_sent_again_after_the_end_changes_nothing(engine: Engine) -> None:
    submitted = submit(engine, front(1))
    (attempt,) = claim(engine, submitted, "s0")
    settle(engine, completed(attempt))
    before = execution(engine, submitted)
    assert settle(engine, completed(attempt)).landed == {attempt.id}
    assert execution(engine, submitted) == before
    assert_sound(engine, submitted.execution_id)


def test_failure_before_the_last_settle_fails_the_execution(engine: Engine) -> None:
    submitted = submit(engine, front(2))
    fail(engine, submitted, "s0")
    assert complete(engine, submitted, "s1").ended == "failed"
    assert_sound(engine, submitted.execution_id)
