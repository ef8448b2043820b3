"""Retries that meet something: an execution that still runs, satellites that wait for every end, rivals, chance."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from hypothesis import given, note
from hypothesis import strategies as st

from state_manager.states import FINISHED, FailurePolicy
from state_manager.store import executions
from tests import factories
from tests.factories import DIAMOND, Graph, chain, front, submit
from tests.store.attempts import claim, complete, completed, execution, fail, failed, rows, settle, statuses
from tests.store.invariants import assert_admission_is_right, assert_sound
from tests.store.rivals import rival_to

if TYPE_CHECKING:
    from random import Random

    from sqlalchemy import Engine

    from state_manager.store.executions import Retried
    from tests.factories import Submitted

CLEANUP: Graph = {"a": [], "cleanup": ["a"], "after": ["cleanup"]}


def retry(engine: Engine, submitted: Submitted, name: str | None = None) -> Retried:
    return executions.retry(engine, submitted.execution_id, None if name is None else submitted[name])


def test_satellite_is_tried_again_while_its_execution_runs(engine: Engine) -> None:
    submitted = submit(engine, {"a": [], "b": ["a"], "busy": []})
    (busy,) = claim(engine, submitted, "busy")
    fail(engine, submitted, "a")
    retried = retry(engine, submitted, "a")
    assert (retried.previous, retried.ready) == ("running", (submitted["a"],))
    assert settle(engine, completed(busy)).landed == {busy.id}
    complete(engine, submitted, "a")
    assert complete(engine, submitted, "b").ended == "completed"
    assert_sound(engine, submitted.execution_id)
    assert_admission_is_right(engine)


def test_retry_gives_the_whole_execution_its_time_again(engine: Engine) -> None:
    noon = datetime(2026, 1, 1, 12, tzinfo=UTC)
    submitted = submit(engine, front(2), timeout_s=60, now=noon)
    (attempt, _) = claim(engine, submitted, "s0", "s1", now=noon)
    settle(engine, failed(attempt), now=noon)
    executions.retry(engine, submitted.execution_id, now=noon + timedelta(seconds=30))
    assert execution(engine, submitted)["times_out_at"] == noon + timedelta(seconds=90)


def test_all_done_that_already_ran_is_not_run_again(engine: Engine) -> None:
    submitted = submit(engine, CLEANUP, all_done=["cleanup"])
    fail(engine, submitted, "a")
    complete(engine, submitted, "cleanup")
    assert complete(engine, submitted, "after").ended == "failed"
    before = rows(engine, submitted)["cleanup"]
    assert retry(engine, submitted).revived == (submitted["a"],)
    assert_sound(engine, submitted.execution_id)
    assert complete(engine, submitted, "a").ended == "completed"
    assert rows(engine, submitted)["cleanup"] == {**before, "input_bytes": len("null")}
    assert_sound(engine, submitted.execution_id)


def test_all_done_that_has_not_started_waits_again(engine: Engine) -> None:
    submitted = submit(engine, CLEANUP, all_done=["cleanup"])
    assert fail(engine, submitted, "a").ready == (submitted["cleanup"],)
    assert retry(engine, submitted, "a").revived == (submitted["a"],)
    assert claim(engine, submitted, "cleanup") == []
    assert_sound(engine, submitted.execution_id)
    assert complete(engine, submitted, "a").ready == (submitted["cleanup"],)
    assert_sound(engine, submitted.execution_id)


def test_all_done_that_runs_goes_on(engine: Engine) -> None:
    submitted = submit(engine, CLEANUP, all_done=["cleanup"])
    fail(engine, submitted, "a")
    (attempt,) = claim(engine, submitted, "cleanup")
    retry(engine, submitted, "a")
    assert_sound(engine, submitted.execution_id)
    assert settle(engine, completed(attempt)).ready == (submitted["after"],)
    complete(engine, submitted, "after")
    assert complete(engine, submitted, "a").ended == "completed"
    assert_sound(engine, submitted.execution_id)


def test_all_done_that_failed_too_waits_for_what_comes_back_with_it(engine: Engine) -> None:
    submitted = submit(engine, CLEANUP, all_done=["cleanup"])
    fail(engine, submitted, "a")
    fail(engine, submitted, "cleanup")
    retried = retry(engine, submitted)
    assert (set(retried.revived), retried.ready) == (set(submitted.nodes), (submitted["a"],))
    assert fail(engine, submitted, "a").ready == (submitted["cleanup"],)
    complete(engine, submitted, "cleanup")
    assert complete(engine, submitted, "after").ended == "failed"
    assert_sound(engine, submitted.execution_id)


def test_all_done_alone_is_tried_again_after_a_failure_that_stays(engine: Engine) -> None:
    submitted = submit(engine, CLEANUP, all_done=["cleanup"])
    fail(engine, submitted, "a")
    fail(engine, submitted, "cleanup")
    assert retry(engine, submitted, "cleanup").ready == (submitted["cleanup"],)
    assert statuses(engine, submitted) == {"a": "failed", "cleanup": "pending", "after": "pending"}
    assert_sound(engine, submitted.execution_id)


def test_retried_execution_takes_its_place_beyond_the_limit(engine: Engine) -> None:
    first = submit(engine, front(1), max_concurrent=1)
    fail(engine, first, "s0")
    second, third = (submit(engine, front(1), max_concurrent=1) for _ in range(2))
    retry(engine, first)
    assert_admission_is_right(engine)
    assert complete(engine, second, "s0", max_concurrent=1).admitted == ()
    assert complete(engine, first, "s0", max_concurrent=1).admitted == (third.execution_id,)
    assert_admission_is_right(engine)


def test_of_two_retries_at_once_the_second_finds_nothing(engine: Engine) -> None:
    submitted = submit(engine, chain(3))
    fail(engine, submitted, "s0")
    with rival_to(engine) as (first, rival):
        assert len(retry(first, submitted).revived) == 3
        later = rival.waits(retry, submitted)
    assert (later.result().previous, later.result().revived) == ("running", ())
    assert_sound(engine, submitted.execution_id)
    assert_admission_is_right(engine)


def test_retry_that_waited_for_the_failure_brings_it_back(engine: Engine) -> None:
    submitted = submit(engine, DIAMOND)
    with rival_to(engine) as (first, rival):
        assert fail(first, submitted, "a").ended == "failed"
        later = rival.waits(retry, submitted)
    assert set(later.result().revived) == set(submitted.nodes)
    assert_sound(engine, submitted.execution_id)
    assert_admission_is_right(engine)


@given(graph=factories.graphs(), policy=st.sampled_from(FailurePolicy), random=st.randoms(use_true_random=True))
def test_whatever_failed_completes_after_a_retry(
    engine: Engine, graph: Graph, policy: FailurePolicy, random: Random
) -> None:
    all_done = factories.some_of(random, graph, one_in=3)
    note(f"{all_done=}")
    submitted = submit(engine, graph, all_done=all_done, policy=policy)
    for _ in range(len(graph)):
        _take_a_step(engine, submitted, random)
        assert_sound(engine, submitted.execution_id)
    retry(engine, submitted)
    while execution(engine, submitted)["status"] not in FINISHED:
        _complete_what_is_ready(engine, submitted)
        assert_sound(engine, submitted.execution_id)
    assert execution(engine, submitted)["status"] == "completed"
    assert set(statuses(engine, submitted).values()) == {"completed"}
    assert_admission_is_right(engine)


def _take_a_step(engine: Engine, submitted: Submitted, random: Random) -> None:
    """Run some of what is ready, well or badly; or retry one satellite, which may have failed or not."""
    names = random.sample(list(submitted.ids), random.randint(1, len(submitted.ids)))
    if random.randrange(3) == 0:
        note(f"retry {names[0]}")
        retry(engine, submitted, names[0])
    elif attempts := claim(engine, submitted, *names):
        outcomes = [random.choice([completed, failed])(one) for one in attempts]
        note(f"{[(one.name, outcome.status) for one, outcome in zip(attempts, outcomes, strict=True)]}")
        settle(engine, *outcomes)


def _complete_what_is_ready(engine: Engine, submitted: Submitted) -> None:
    attempts = claim(engine, submitted, *submitted.ids)
    assert attempts, "nothing is ready, but the execution has not ended"
    settle(engine, *map(completed, attempts))
