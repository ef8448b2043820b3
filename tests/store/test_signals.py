"""Signals: who receives which, what wakes a satellite that waits, and what happens at the same time."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pytest
from sqlalchemy import delete, select

from state_manager.errors import Conflict, KeyReused, NotFound
from state_manager.states import ExecutionStatus
from state_manager.store import events as event_log
from state_manager.store import executions, signals
from state_manager.store.data_tables import signal_waits
from state_manager.store.data_tables import signals as signals_table
from state_manager.store.signals import Received
from state_manager.store.tables import executions as executions_table
from tests.factories import chain, front, submit
from tests.store.attempts import MANY, claim, complete, completed, fail, failed, failed_for_now, requeued, rows, settle
from tests.store.invariants import assert_sound
from tests.store.rivals import rival_to

if TYPE_CHECKING:
    from sqlalchemy import Engine

    from state_manager.store.transitions import Claimed
    from tests.factories import Submitted

NOW = datetime.now(UTC)
SOON = 600.0


def look(engine: Engine, attempt: Claimed, name: str = "go", **options: Any) -> Received:
    return signals.receive(engine, attempt.id, name, **{"timeout_s": SOON} | options)


def waiting(engine: Engine, *names: str, graph: Any = None) -> tuple[Submitted, list[Claimed]]:
    """Make satellites wait, as theirs do: look, find nothing, and ask to run again when their time is over."""
    submitted = submit(engine, graph or {name: [] for name in names})
    attempts = [claim(engine, submitted, name)[0] for name in names]
    for attempt in attempts:
        assert not look(engine, attempt).received
        settle(engine, requeued(attempt, SOON))
    return submitted, attempts


def test_signal_makes_the_one_that_waits_ready_at_once(engine: Engine) -> None:
    submitted, (attempt,) = waiting(engine, "wait")
    assert rows(engine, submitted)["wait"]["not_before"] is not None
    sent = signals.send(engine, submitted.execution_id, "go", {"ok": True})
    assert (sent.satellite_id, sent.ready) == (attempt.id, (attempt.id,))
    assert rows(engine, submitted)["wait"]["queued_at"] is not None
    (again,) = claim(engine, submitted, "wait")
    assert look(engine, again) == Received(True, {"ok": True}, None)
    settle(engine, completed(again, {"ok": True}))
    assert_sound(engine, submitted.execution_id)


def test_signal_is_kept_until_somebody_waits(engine: Engine) -> None:
    submitted = submit(engine, chain(2))
    sent = signals.send(engine, submitted.execution_id, "go", [1, None, "ä"])
    assert (sent.satellite_id, sent.ready) == (None, ())
    (attempt,) = claim(engine, submitted, "s0")
    assert look(engine, attempt, "other").received is False
    assert look(engine, attempt) == Received(True, [1, None, "ä"], None)


def test_signals_of_a_name_are_received_in_the_order_of_their_sending(engine: Engine) -> None:
    submitted = submit(engine, front(3))
    for payload in (1, 2, 3):
        signals.send(engine, submitted.execution_id, "go", payload)
    attempts = claim(engine, submitted, "s2", "s0", "s1")
    assert [look(engine, one).payload for one in attempts] == [1, 2, 3]


def test_each_signal_goes_to_the_one_that_has_waited_longest(engine: Engine) -> None:
    submitted, (first, second, third) = waiting(engine, "b", "a", "c")
    sent = [signals.send(engine, submitted.execution_id, "go", number).satellite_id for number in range(4)]
    assert sent == [first.id, second.id, third.id, None]


def test_signal_of_another_name_or_execution_wakes_nobody(engine: Engine) -> None:
    submitted, _ = waiting(engine, "wait")
    other = submit(engine, front(1))
    assert signals.send(engine, submitted.execution_id, "stop", None).ready == ()
    assert signals.send(engine, other.execution_id, "go", None).ready == ()
    assert rows(engine, submitted)["wait"]["not_before"] is not None


def test_signal_between_the_look_and_the_end_of_the_attempt_is_not_lost(engine: Engine) -> None:
    submitted = submit(engine, front(1))
    (attempt,) = claim(engine, submitted, "s0")
    assert not look(engine, attempt).received
    sent = signals.send(engine, submitted.execution_id, "go", 1)
    assert (sent.satellite_id, sent.ready) == (attempt.id, ())
    assert settle(engine, requeued(attempt, SOON)).ready == (attempt.id,)
    (again,) = claim(engine, submitted, "s0")
    assert look(engine, again).payload == 1
    assert_sound(engine, submitted.execution_id)


def test_signal_waits_for_a_look_that_is_under_way(engine: Engine) -> None:
    submitted = submit(engine, front(1))
    (attempt,) = claim(engine, submitted, "s0")
    with rival_to(engine) as (first, rival):
        assert not look(first, attempt).received
        later = rival.waits(signals.send, submitted.execution_id, "go", 1)
    assert later.result().satellite_id == attempt.id


def test_end_of_an_attempt_waits_for_a_signal_that_is_being_sent(engine: Engine) -> None:
    submitted = submit(engine, front(1))
    (attempt,) = claim(engine, submitted, "s0")
    look(engine, attempt)
    with rival_to(engine) as (first, rival):
        signals.send(first, submitted.execution_id, "go", 1)
        later = rival.waits(settle, requeued(attempt, SOON))
    assert later.result().ready == (attempt.id,)


def test_two_looks_at_the_same_time_receive_two_signals(engine: Engine) -> None:
    submitted = submit(engine, front(2))
    for payload in (1, 2):
        signals.send(engine, submitted.execution_id, "go", payload)
    one, another = claim(engine, submitted, "s0", "s1")
    with rival_to(engine) as (first, rival):
        assert look(first, one).payload == 1
        later = rival.waits(look, another)
    assert later.result().payload == 2


def test_repeated_attempt_receives_the_same_signal(engine: Engine) -> None:
    submitted = submit(engine, front(2), max_attempts=2)
    for payload in (1, 2):
        signals.send(engine, submitted.execution_id, "go", payload)
    (attempt,) = claim(engine, submitted, "s0")
    assert [look(engine, attempt).payload for _ in range(2)] == [1, 1]
    settle(engine, failed_for_now(attempt, 0))
    (again,) = claim(engine, submitted, "s0")
    assert look(engine, again).payload == 1


def test_attempt_that_does_not_run_is_given_nothing(engine: Engine) -> None:
    submitted = submit(engine, front(1))
    signals.send(engine, submitted.execution_id, "go", 1)
    (attempt,) = claim(engine, submitted, "s0")
    settle(engine, failed_for_now(attempt, SOON))
    assert not look(engine, attempt).received


def test_time_of_a_wait_counts_from_its_first_look_and_begins_anew_when_over(engine: Engine) -> None:
    submitted = submit(engine, front(1))
    (attempt,) = claim(engine, submitted, "s0")
    left = [look(engine, attempt, timeout_s=60, now=NOW + timedelta(seconds=s)).left_s for s in (0, 20, 60, 70)]
    assert left == [60, 40, 0, 60]


def test_wait_without_a_timeout_has_no_end(engine: Engine) -> None:
    (attempt,) = claim(engine, submit(engine, front(1)), "s0")
    assert look(engine, attempt, timeout_s=None) == Received(False, None, None)


def test_retry_begins_the_wait_anew(engine: Engine) -> None:
    submitted = submit(engine, front(1))
    (attempt,) = claim(engine, submitted, "s0")
    look(engine, attempt, timeout_s=60, now=NOW)
    settle(engine, failed(attempt))
    executions.retry(engine, submitted.execution_id)
    (again,) = claim(engine, submitted, "s0")
    assert look(engine, again, timeout_s=60, now=NOW + timedelta(seconds=50)).left_s == 60


def test_one_that_has_ended_is_given_nothing(engine: Engine) -> None:
    submitted, _ = waiting(engine, "wait", graph={"wait": [], "fails": [], "last": []})
    (attempt,) = claim(engine, submitted, "last")
    look(engine, attempt)
    settle(engine, failed(attempt))
    sent = [signals.send(engine, submitted.execution_id, "go", None).satellite_id for _ in range(2)]
    assert sent == [submitted["wait"], None]


def test_same_key_is_the_same_signal(engine: Engine) -> None:
    submitted = submit(engine, front(1))
    first = signals.send(engine, submitted.execution_id, "go", {"a": 1}, key="k")
    assert signals.send(engine, submitted.execution_id, "go", {"a": 1}, key="k") == first
    for name, payload in (("go", {"a": 2}), ("stop", {"a": 1})):
        with pytest.raises(KeyReused):
            signals.send(engine, submitted.execution_id, name, payload, key="k")
    assert signals.send(engine, submitted.execution_id, "go", {"a": 1}).id != first.id
    complete(engine, submitted, "s0")
    assert signals.send(engine, submitted.execution_id, "go", {"a": 1}, key="k").id == first.id


def test_finished_and_unknown_executions_take_no_signal(engine: Engine) -> None:
    done, failing, stopped = (submit(engine, front(1)) for _ in range(3))
    complete(engine, done, "s0")
    fail(engine, failing, "s0")
    executions.stop(engine, stopped.execution_id, ExecutionStatus.CANCELLED, max_concurrent=MANY)
    for submitted, status in ((done, "completed"), (failing, "failed"), (stopped, "cancelled")):
        with pytest.raises(Conflict, match=f"is {status}: nobody will receive a signal any more"):
            signals.send(engine, submitted.execution_id, "go", None)
    with pytest.raises(NotFound):
        signals.send(engine, uuid4(), "go", None)


def test_execution_that_is_not_admitted_keeps_signals(engine: Engine) -> None:
    submitted = submit(engine, front(1), max_concurrent=0)
    assert signals.send(engine, submitted.execution_id, "go", 1).ready == ()
    assert_sound(engine, submitted.execution_id)


def test_unreceived_signals_are_limited(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(signals, "UNRECEIVED", 2)
    submitted = submit(engine, front(1))
    for _ in range(2):
        signals.send(engine, submitted.execution_id, "go", 1)
    with pytest.raises(Conflict, match=r"2 signals of execution .* wait to be received already"):
        signals.send(engine, submitted.execution_id, "go", 1)
    (attempt,) = claim(engine, submitted, "s0")
    look(engine, attempt)
    signals.send(engine, submitted.execution_id, "go", 1)


def test_signal_is_an_event_of_the_execution(engine: Engine) -> None:
    submitted = submit(engine, front(1))
    signals.send(engine, submitted.execution_id, "go", {"secret": 1})
    log = event_log.read(engine, submitted.execution_id, after=2, limit=10) or []
    assert [(one.kind, one.status, one.satellite_id, one.data) for one in log] == [
        ("signalled", "running", None, {"name": "go"})
    ]
    assert_sound(engine, submitted.execution_id)


def test_signals_and_waits_go_with_their_execution(engine: Engine) -> None:
    submitted, _ = waiting(engine, "wait")
    signals.send(engine, submitted.execution_id, "other", 1)
    signals.send(engine, submitted.execution_id, "go", 1)
    with engine.connect() as connection:
        connection.execute(delete(executions_table).where(executions_table.c.id == submitted.execution_id))
        assert [row for table in (signals_table, signal_waits) for row in connection.execute(select(table))] == []
