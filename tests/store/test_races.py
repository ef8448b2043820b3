"""Transitions that meet: the second is made to wait for the first, and must then see what the first did."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import TYPE_CHECKING

from state_manager.states import FailurePolicy
from tests.factories import DIAMOND, Graph, chain, front, submit
from tests.store.attempts import claim, complete, completed, execution, failed, rows, settle, statuses
from tests.store.invariants import assert_admission_is_right, assert_sound
from tests.store.rivals import rival_to

if TYPE_CHECKING:
    from sqlalchemy import Engine


JOIN: Graph = {"a": [], "b": [], "join": ["a", "b"]}


def test_of_two_settles_of_a_joins_last_parts_the_second_says_ready(engine: Engine) -> None:
    submitted = submit(engine, JOIN)
    one, two = claim(engine, submitted, "a", "b")
    with rival_to(engine) as (first, rival):
        earlier = settle(first, completed(one))
        later = rival.waits(settle, completed(two))
    assert (earlier.ready, later.result().ready) == ((), (submitted["join"],))
    assert rows(engine, submitted)["join"]["unmet"] == 0
    assert_sound(engine, submitted.execution_id)


def test_of_two_settles_of_the_last_satellites_the_second_ends_the_execution(engine: Engine) -> None:
    submitted = submit(engine, front(2))
    one, two = claim(engine, submitted, "s0", "s1")
    with rival_to(engine) as (first, rival):
        earlier = settle(first, failed(one))
        later = rival.waits(settle, completed(two))
    assert (earlier.ended, later.result().ended) == (None, "failed")
    assert_sound(engine, submitted.execution_id)


def test_of_two_claims_of_one_satellite_the_second_is_refused(engine: Engine) -> None:
    submitted = submit(engine, front(1))
    with rival_to(engine) as (first, rival):
        (attempt,) = claim(first, submitted, "s0")
        later = rival.waits(claim, submitted, "s0")
    assert later.result() == []
    assert rows(engine, submitted)["s0"]["claim"] == attempt.claim
    assert_sound(engine, submitted.execution_id)


def test_claims_that_overlap_share_the_satellites(engine: Engine) -> None:
    submitted = submit(engine, front(4))
    with rival_to(engine) as (first, rival):
        earlier = claim(first, submitted, "s0", "s1", "s2")
        later = rival.waits(claim, submitted, "s1", "s2", "s3")
    assert [attempt.name for attempt in [*earlier, *later.result()]] == ["s0", "s1", "s2", "s3"]
    assert_sound(engine, submitted.execution_id)


def test_claim_that_waited_for_the_settle_that_makes_it_ready_wins(engine: Engine) -> None:
    submitted = submit(engine, chain(2))
    (attempt,) = claim(engine, submitted, "s0")
    with rival_to(engine) as (first, rival):
        settle(first, completed(attempt, output="new"))
        later = rival.waits(claim, submitted, "s1")
    assert [attempt.dependency_outputs for attempt in later.result()] == [{"s0": "new"}]
    assert_sound(engine, submitted.execution_id)


def test_claim_that_waited_while_the_execution_ended_is_refused(engine: Engine) -> None:
    submitted = submit(engine, front(2), policy=FailurePolicy.FAIL_FAST)
    (attempt,) = claim(engine, submitted, "s0")
    with rival_to(engine) as (first, rival):
        assert settle(first, failed(attempt)).ended == "failed"
        later = rival.waits(claim, submitted, "s1")
    assert later.result() == []
    assert_sound(engine, submitted.execution_id)


def test_same_settle_twice_at_once_lands_once_and_answers_twice(engine: Engine) -> None:
    submitted = submit(engine, DIAMOND)
    (attempt,) = claim(engine, submitted, "a")
    with rival_to(engine) as (first, rival):
        earlier = settle(first, completed(attempt))
        later = rival.waits(settle, completed(attempt))
    assert (later.result().landed, later.result().ready) == (earlier.landed, earlier.ready)
    assert_sound(engine, submitted.execution_id)


def test_settle_that_waited_for_fail_fast_does_not_land(engine: Engine) -> None:
    submitted = submit(engine, {"a": [], "b": [], "c": ["b"]}, policy=FailurePolicy.FAIL_FAST)
    one, two = claim(engine, submitted, "a", "b")
    with rival_to(engine) as (first, rival):
        settle(first, failed(one))
        later = rival.waits(settle, completed(two))
    assert (later.result().landed, later.result().ready) == (frozenset(), ())
    assert statuses(engine, submitted) == {"a": "failed", "b": "cancelled", "c": "skipped"}
    assert_sound(engine, submitted.execution_id)


def test_fail_fast_that_waited_for_a_settle_leaves_its_outcome(engine: Engine) -> None:
    submitted = submit(engine, {"a": [], "b": [], "c": ["b"]}, policy=FailurePolicy.FAIL_FAST)
    one, two = claim(engine, submitted, "a", "b")
    with rival_to(engine) as (first, rival):
        assert settle(first, completed(two)).ready == (submitted["c"],)
        later = rival.waits(settle, failed(one))
    assert later.result().ended == "failed"
    assert statuses(engine, submitted) == {"a": "failed", "b": "completed", "c": "skipped"}
    assert_sound(engine, submitted.execution_id)


def test_failure_that_waited_for_a_sibling_skips_their_join_once(engine: Engine) -> None:
    submitted = submit(engine, JOIN | {"cleanup": ["join"]}, all_done=["cleanup"])
    one, two = claim(engine, submitted, "a", "b")
    with rival_to(engine) as (first, rival):
        assert settle(first, failed(one)).ready == (submitted["cleanup"],)
        later = rival.waits(settle, failed(two))
    assert later.result().ready == ()
    assert_sound(engine, submitted.execution_id)


def test_executions_never_wait_for_each_other(engine: Engine) -> None:
    ours, theirs = submit(engine, chain(2)), submit(engine, chain(2))
    with rival_to(engine) as (first, _):
        complete(first, ours, "s0")
        complete(engine, theirs, "s0")
    assert_sound(engine, ours.execution_id)


def test_of_two_submissions_with_one_key_the_second_gets_the_firsts_execution(engine: Engine) -> None:
    with rival_to(engine) as (first, rival):
        earlier = submit(first, front(1), key="k")
        later = rival.waits(submit, front(1), key="k")
    assert earlier.receipt.created
    assert not later.result().receipt.created
    assert later.result().execution_id == earlier.execution_id


def test_submission_takes_over_the_key_of_one_that_came_to_nothing(engine: Engine) -> None:
    with suppress(KeyboardInterrupt), rival_to(engine) as (first, rival):
        earlier = submit(first, front(1), key="k")
        later = rival.waits(submit, front(1), key="k")
        raise KeyboardInterrupt
    assert later.result().receipt.created
    assert later.result().execution_id != earlier.execution_id
    assert_admission_is_right(engine)


def test_settle_that_makes_room_sees_the_submission_that_found_none(engine: Engine) -> None:
    running = submit(engine, front(1), max_concurrent=1)
    (attempt,) = claim(engine, running, "s0")
    with rival_to(engine) as (first, rival):
        waiting = submit(first, front(1), max_concurrent=1)
        later = rival.waits(settle, completed(attempt), max_concurrent=1)
    assert later.result().admitted == (waiting.execution_id,)
    assert execution(engine, waiting)["status"] == "running"
    assert_admission_is_right(engine)


def test_submission_that_waited_for_room_takes_it(engine: Engine) -> None:
    running = submit(engine, front(1), max_concurrent=1)
    with rival_to(engine) as (first, rival):
        complete(first, running, "s0", max_concurrent=1)
        later = rival.waits(submit, front(1), max_concurrent=1)
    assert execution(engine, later.result())["status"] == "running"
    assert_admission_is_right(engine)


def test_submissions_at_once_do_not_exceed_the_limit(engine: Engine) -> None:
    with rival_to(engine) as (first, rival):
        earlier = submit(first, front(1), max_concurrent=1)
        later = rival.waits(submit, front(1), max_concurrent=1)
    assert execution(engine, earlier)["status"] == "running"
    assert execution(engine, later.result())["status"] == "pending"
    assert_admission_is_right(engine)


def test_executions_that_end_at_once_admit_one_each(engine: Engine) -> None:
    running = [submit(engine, front(1), max_concurrent=2) for _ in range(2)]
    waiting = [submit(engine, front(1), max_concurrent=2) for _ in range(2)]
    attempts = [claim(engine, one, "s0")[0] for one in running]
    with rival_to(engine) as (first, rival):
        earlier = settle(first, completed(attempts[0]), max_concurrent=2)
        later = rival.waits(settle, completed(attempts[1]), max_concurrent=2)
    assert [earlier.admitted, later.result().admitted] == [(one.execution_id,) for one in waiting]
    assert_admission_is_right(engine)


def test_settles_that_share_thousands_of_joins_do_not_deadlock(engine: Engine) -> None:
    parts = [f"part{at}" for at in range(40)]
    joins = {f"join{at}": [parts[(at * step + step) % 40] for step in (1, 3, 7)] for at in range(2_000)}
    graph: Graph = {**{part: [] for part in parts}, **{name: sorted(set(needs)) for name, needs in joins.items()}}
    submitted = submit(engine, graph)
    attempts = claim(engine, submitted, *parts)
    with ThreadPoolExecutor(8) as threads:
        settled = list(threads.map(lambda attempt: settle(engine, completed(attempt)), attempts))
    ready = [one for answer in settled for one in answer.ready]
    assert sorted(ready) == sorted(submitted[name] for name in joins)
    assert_sound(engine, submitted.execution_id)
