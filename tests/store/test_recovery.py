"""Repairs in the store: waits that are over, messages that are lost, the count of admission."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from sqlalchemy import update

from state_manager.states import ExecutionStatus
from state_manager.store import admission, executions, queueing, tables
from tests.factories import chain, front, submit
from tests.store.attempts import claim, complete, execution, failed_for_now, fire_due, rows, settle
from tests.store.invariants import assert_admission_is_right, assert_sound
from tests.store.rivals import rival_to

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy import Engine

    from state_manager.store.queueing import Unsent
    from tests.factories import Submitted

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
SECOND = timedelta(seconds=1)


def waiting(engine: Engine, *waits_s: float) -> Submitted:
    """Submit satellites at noon whose first attempts failed at once, and which now wait for so many seconds."""
    submitted = submit(engine, front(len(waits_s)), max_attempts=2, now=NOON)
    attempts = claim(engine, submitted, *submitted.ids, now=NOON)
    settle(engine, *map(failed_for_now, attempts, waits_s), now=NOON)
    return submitted


def names(submitted: Submitted, unsent: Sequence[Unsent]) -> set[str]:
    assert {one.execution_id for one in unsent} <= {submitted.execution_id}
    return submitted.names([one.id for one in unsent])


def count_admission_as(engine: Engine, running: int) -> None:
    """Set the counter wrong, as no transition does."""
    with engine.connect() as connection:
        connection.execute(update(tables.admission).values(running=running))


def test_satellite_becomes_ready_when_its_wait_is_over(engine: Engine) -> None:
    submitted = waiting(engine, 10)
    assert fire_due(engine, 10, now=NOON + 9 * SECOND) == []
    assert claim(engine, submitted, "s0", now=NOON + 11 * SECOND) == []
    assert_sound(engine, submitted.execution_id)
    (due,) = fire_due(engine, 10, now=NOON + 10 * SECOND)
    assert (due.id, due.execution_id, due.queue, due.dispatches) == (
        submitted["s0"],
        submitted.execution_id,
        "satellites",
        1,
    )
    assert rows(engine, submitted)["s0"]["queued_at"] == NOON + 10 * SECOND
    assert_sound(engine, submitted.execution_id)
    assert [one.attempt for one in claim(engine, submitted, "s0", now=NOON + 10 * SECOND)] == [2]


def test_waits_are_fired_once_and_the_longest_due_first(engine: Engine) -> None:
    submitted = waiting(engine, 3, 1, 2, 60)
    rounds = [fire_due(engine, 2, now=NOON + 10 * SECOND) for _ in range(3)]
    assert [names(submitted, one) for one in rounds] == [{"s1", "s2"}, {"s0"}, set()]


def test_of_two_that_fire_at_once_each_takes_what_the_other_does_not(engine: Engine) -> None:
    submitted = waiting(engine, 1, 2, 3)
    with rival_to(engine) as (first, rival):
        earlier = fire_due(first, 2, now=NOON + 10 * SECOND)
        later = rival.waits(fire_due, 10, now=NOON + 10 * SECOND)
    assert (names(submitted, earlier), names(submitted, later.result())) == ({"s0", "s1"}, {"s2"})
    assert_sound(engine, submitted.execution_id)


def test_only_what_was_ready_before_the_probe_is_sent_again(engine: Engine) -> None:
    before, at = submit(engine, front(1), now=NOON - SECOND), submit(engine, front(1), now=NOON)
    (lost,) = queueing.take_lost_messages(engine, "satellites", NOON, 10)
    assert (lost.id, lost.dispatches) == (before["s0"], 1)
    assert queueing.take_lost_messages(engine, "satellites", NOON, 10) == []
    assert names(at, queueing.take_lost_messages(engine, "satellites", NOON + SECOND, 10)) == {"s0"}
    assert_sound(engine, before.execution_id)


def test_what_is_not_ready_is_not_sent_again(engine: Engine) -> None:
    waiting(engine, 60)
    submit(engine, front(1), max_concurrent=0, now=NOON)
    claim(engine, submit(engine, chain(2), now=NOON), "s0")
    stopped = submit(engine, front(1), now=NOON)
    executions.stop(engine, stopped.execution_id, ExecutionStatus.CANCELLED, max_concurrent=0)
    assert queueing.take_lost_messages(engine, "satellites", datetime.now(UTC), 10) == []


def test_probe_of_another_queue_sends_nothing_again(engine: Engine) -> None:
    submit(engine, front(1), now=NOON)
    assert queueing.take_lost_messages(engine, "satellites.gpu", NOON + SECOND, 10) == []


def test_what_is_lost_is_sent_again_a_batch_at_a_time_the_oldest_first(engine: Engine) -> None:
    submitted = [submit(engine, front(1), now=NOON + at * SECOND) for at in (2, 0, 1)]
    rounds = [queueing.take_lost_messages(engine, "satellites", NOON + 60 * SECOND, 2) for _ in range(3)]
    assert [{one.execution_id for one in lost} for lost in rounds] == [
        {submitted[1].execution_id, submitted[2].execution_id},
        {submitted[0].execution_id},
        set(),
    ]


def test_of_two_probes_at_once_each_sends_what_the_other_does_not(engine: Engine) -> None:
    submitted = submit(engine, front(4), now=NOON)
    with rival_to(engine) as (first, rival):
        earlier = names(submitted, queueing.take_lost_messages(first, "satellites", NOON + SECOND, 3))
        later = names(submitted, rival.passes(queueing.take_lost_messages, "satellites", NOON + SECOND, 10))
    assert len(earlier) == 3
    assert earlier | later == set(submitted.ids)
    assert not earlier & later


def test_what_takes_long_to_send_counts_as_queued_later(engine: Engine) -> None:
    submitted = submit(engine, front(3))
    claim(engine, submitted, "s2")
    queueing.queue_later(engine, [submitted["s1"], submitted["s2"]], 60)
    soon = datetime.now(UTC) + 30 * SECOND
    assert names(submitted, queueing.take_lost_messages(engine, "satellites", soon, 10)) == {"s0"}
    assert_sound(engine, submitted.execution_id)
    complete(engine, submitted, "s1")


def test_message_says_what_it_is_about(engine: Engine) -> None:
    submitted = submit(engine, front(2), now=NOON)
    queueing.take_lost_messages(engine, "satellites", NOON + SECOND, 1)
    unsent = queueing.unsent(engine, [submitted["s0"], submitted["s1"]])
    assert {(one.execution_id, one.queue) for one in unsent} == {(submitted.execution_id, "satellites")}
    assert sorted(one.dispatches for one in unsent) == [0, 1]
    assert queueing.unsent(engine, []) == []


def test_repair_counts_the_executions_that_run(engine: Engine) -> None:
    for _ in range(2):
        submit(engine, front(1))
    for wrong in (0, 1, 7):
        count_admission_as(engine, wrong)
        assert admission.repair_admission(engine, 2) == []
        assert_admission_is_right(engine)


def test_count_that_was_too_high_kept_executions_waiting(engine: Engine) -> None:
    count_admission_as(engine, 5)
    waits = submit(engine, front(1), max_concurrent=2)
    assert execution(engine, waits)["status"] == "pending"
    assert admission.repair_admission(engine, 2) == [waits.execution_id]
    assert_sound(engine, waits.execution_id)
    assert_admission_is_right(engine)


def test_count_that_was_too_low_lets_nobody_in_once_it_is_right(engine: Engine) -> None:
    submit(engine, front(1), max_concurrent=1)
    waits = submit(engine, front(1), max_concurrent=1)
    count_admission_as(engine, 0)
    assert admission.repair_admission(engine, 1) == []
    assert execution(engine, waits)["status"] == "pending"
    assert_admission_is_right(engine)


def test_room_that_is_left_empty_is_filled_the_longest_waiting_first(engine: Engine) -> None:
    submitted = [submit(engine, front(1), max_concurrent=1) for _ in range(4)]
    assert admission.repair_admission(engine, 3) == [one.execution_id for one in submitted[1:3]]
    assert admission.repair_admission(engine, 3) == []
    assert_admission_is_right(engine)


def test_of_two_repairs_at_once_the_second_finds_it_right(engine: Engine) -> None:
    _, *waits = [submit(engine, front(1), max_concurrent=1) for _ in range(3)]
    count_admission_as(engine, 9)
    with rival_to(engine) as (first, rival):
        assert admission.repair_admission(first, 2) == [waits[0].execution_id]
        later = rival.waits(admission.repair_admission, 2)
    assert later.result() == []
    assert_admission_is_right(engine)


def test_repair_that_waited_for_the_end_of_an_execution_counts_it_no_more(engine: Engine) -> None:
    running = submit(engine, front(1), max_concurrent=1)
    submit(engine, front(1), max_concurrent=1)
    with rival_to(engine) as (first, rival):
        assert len(complete(first, running, "s0", max_concurrent=1).admitted) == 1
        later = rival.waits(admission.repair_admission, 1)
    assert later.result() == []
    assert_admission_is_right(engine)
