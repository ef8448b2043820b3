"""The reconciler's rounds: what one finds and sends, and that another, at once or later, finds nothing more."""

from __future__ import annotations

from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from threading import Barrier
from typing import TYPE_CHECKING
from uuid import uuid4

import pytest
from sqlalchemy import text

from state_manager.maintenance import admission as admission_step
from state_manager.maintenance import due_attempts, expired_leases, late_executions, lost_workers
from state_manager.maintenance.reconciler import Reconciler
from state_manager.states import ExecutionStatus
from state_manager.store import leases, probes, queueing
from tests.factories import chain, front, report_worker, submit
from tests.store.attempts import MANY, claim, complete, execution, failed_for_now, settle, statuses
from tests.store.invariants import assert_admission_is_right, assert_sound
from tests.store.recorder import BrokerAway, Recorder, lifecycle, services
from tests.store.sessions import lost_worker

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sqlalchemy import Engine

    from tests.factories import Submitted

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
"""Long ago: what was due then is overdue."""

EVER_S = 1e9


@pytest.fixture(autouse=True)
def _without_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    """Hold that PostgreSQL has been up for long, and let the second look follow the first at once."""
    monkeypatch.setattr(leases, "GRACE_AFTER_START", timedelta(0))
    monkeypatch.setattr(lost_workers, "BETWEEN_LOOKS_S", 0)


def overdue(engine: Engine, width: int = 1, *, max_attempts: int = 2) -> Submitted:
    """Submit an execution whose satellites run under leases that were over long ago."""
    submitted = submit(engine, front(width), max_attempts=max_attempts, timeout_s=EVER_S, now=NOON)
    for name in submitted.ids:
        claim(engine, submitted, name, now=NOON)
    return submitted


def due(engine: Engine, width: int = 1) -> Submitted:
    """Submit an execution whose satellites have waited long enough for their next attempt."""
    submitted = submit(engine, front(width), max_attempts=2, timeout_s=EVER_S, now=NOON)
    attempts = claim(engine, submitted, *submitted.ids, now=NOON)
    settle(engine, *(failed_for_now(one, 10) for one in attempts), now=NOON)
    return submitted


def lost(engine: Engine, uri: str, width: int = 1) -> Submitted:
    """Submit an execution whose satellites run in a worker that is gone."""
    submitted = submit(engine, front(width), max_attempts=2)
    worker = lost_worker(engine, uri)
    for name in submitted.ids:
        claim(engine, submitted, name, worker=worker)
    return submitted


def late(engine: Engine) -> Submitted:
    """Submit an execution that is past its time."""
    return submit(engine, chain(2), timeout_s=90, now=NOON)


def everything(engine: Engine, uri: str) -> dict[str, Submitted]:
    """Submit something to repair of each kind, by the name of its count, and one that waits for admission."""
    return {
        "lost": lost(engine, uri),
        "overdue": overdue(engine),
        "due": due(engine),
        "timed_out": late(engine),
        "waiting": submit(engine, front(1), max_concurrent=0),
    }


def assert_repaired(engine: Engine, broken: Mapping[str, Submitted]) -> None:
    for what, submitted in broken.items():
        assert execution(engine, submitted)["status"] == ("failed" if what == "timed_out" else "running")
        assert_sound(engine, submitted.execution_id)
    assert_admission_is_right(engine)


def test_round_finds_nothing_where_all_is_well(engine: Engine) -> None:
    complete(engine, submit(engine, front(1)), "s0")
    recorder = Recorder()
    assert +Reconciler(services(engine, recorder, MANY)).run_once() == Counter()
    assert recorder == Recorder()


def test_round_repairs_each_kind_and_the_next_finds_nothing(engine: Engine, database_uri: str) -> None:
    broken = everything(engine, database_uri)
    recorder = Recorder()
    found = Reconciler(services(engine, recorder, MANY)).run_once()
    assert +found == dict.fromkeys(["lost", "overdue", "due", "timed_out", "probed"], 1)
    assert set(recorder.sent) == {broken[what]["s0"] for what in ("lost", "overdue", "due")}
    assert [queue for queue, _ in recorder.probed] == ["satellites"]
    assert recorder.enqueued == [broken["waiting"].execution_id]
    assert_repaired(engine, broken)
    again = Recorder()
    assert +Reconciler(services(engine, again, MANY)).run_once() == Counter()
    assert again == Recorder()


def test_two_rounds_at_once_repair_each_thing_once(engine: Engine, database_uri: str) -> None:
    broken = [everything(engine, database_uri) for _ in range(3)]
    start, recorders = Barrier(2), [Recorder(), Recorder()]

    def run(recorder: Recorder) -> Counter[str]:
        start.wait()
        return Reconciler(services(engine, recorder, MANY)).run_once()

    with ThreadPoolExecutor() as threads:
        rounds = list(threads.map(run, recorders))
    sent = Counter(one for recorder in recorders for one in recorder.sent)
    assert sent == Counter(one[what]["s0"] for one in broken for what in ("lost", "overdue", "due"))
    enqueued = Counter(one for recorder in recorders for one in recorder.enqueued)
    assert enqueued == Counter(one["waiting"].execution_id for one in broken)
    found = rounds[0] + rounds[1]
    assert [found[what] for what in ("lost", "overdue", "due", "probed")] == [3, 3, 3, 1]
    for one in broken:
        assert_repaired(engine, one)


def test_rounds_are_bounded(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    for step in (expired_leases, due_attempts, late_executions):
        monkeypatch.setattr(step, "BATCH_SIZE", 2)
    overdue(engine, 5)
    due(engine, 3)
    for _ in range(3):
        late(engine)
    recorder = Recorder()
    rounds = [Reconciler(services(engine, recorder, MANY)).run_once() for _ in range(4)]
    assert [one["overdue"] for one in rounds] == [2, 2, 1, 0]
    assert [one["due"] for one in rounds] == [2, 1, 0, 0]
    assert [one["timed_out"] for one in rounds] == [2, 1, 0, 0]
    assert len(set(recorder.sent)) == len(recorder.sent) == 8


def test_lost_attempts_of_many_executions_fall_to_each_of_them(engine: Engine) -> None:
    submitted = [overdue(engine, width, max_attempts=1) for width in (1, 3, 2)]
    assert expired_leases.run_once(services(engine, Recorder(), MANY)) == 6
    for one in submitted:
        assert execution(engine, one)["status"] == "failed"
        assert_sound(engine, one.execution_id)
    assert_admission_is_right(engine)


def test_loss_that_ends_an_execution_lets_the_next_be_sent(engine: Engine) -> None:
    lost = overdue(engine, max_attempts=1)
    waiting = submit(engine, front(1), max_concurrent=1)
    recorder = Recorder()
    expired_leases.run_once(services(engine, recorder, 1))
    assert recorder == Recorder(notified=[lost.execution_id, waiting.execution_id], enqueued=[waiting.execution_id])


def test_execution_past_its_time_makes_room_for_the_next(engine: Engine) -> None:
    timed_out = late(engine)
    waiting = submit(engine, front(1), max_concurrent=1)
    recorder = Recorder()
    assert late_executions.run_once(services(engine, recorder, 1)) == 1
    row = execution(engine, timed_out)
    assert (row["status"], row["error"]) == (
        "failed",
        "the execution did not finish within its timeout of 90 s",
    )
    assert recorder.enqueued == [waiting.execution_id]
    assert late_executions.run_once(services(engine, recorder, 1)) == 0
    assert execution(engine, waiting)["status"] == "running"


def test_executions_that_wait_beside_empty_room_are_sent(engine: Engine) -> None:
    waiting = [submit(engine, front(1), max_concurrent=0) for _ in range(3)]
    recorder = Recorder()
    assert admission_step.run_once(services(engine, recorder, 2)) == 2
    assert recorder.enqueued == [one.execution_id for one in waiting[:2]]
    assert admission_step.run_once(services(engine, recorder, 2)) == 0
    assert_admission_is_right(engine)


def test_stop_by_a_client_lets_the_next_be_sent(engine: Engine) -> None:
    running, waiting = (submit(engine, front(1), max_concurrent=1) for _ in range(2))
    recorder = Recorder()
    assert lifecycle(engine, recorder, 1).stop(running.execution_id, ExecutionStatus.CANCELLED).stopped
    assert recorder.enqueued == [waiting.execution_id]


def test_what_a_round_could_not_send_is_left_for_a_probe(engine: Engine) -> None:
    submitted = due(engine)
    report_worker(engine, uuid4(), "a worker", ["satellites"])
    away = services(engine, BrokerAway(), MANY)
    assert (due_attempts.run_once(away), away.repairs.take_failed()) == (0, 1)
    assert statuses(engine, submitted) == {"s0": "pending"}
    recorder, later = Recorder(), datetime.now(UTC) + timedelta(seconds=1)
    assert [queue for queue, _ in probes.due_probes(engine, later)] == ["satellites"]
    assert [one.id for one in queueing.take_lost_messages(engine, "satellites", later, 10)] == [submitted["s0"]]
    assert due_attempts.run_once(services(engine, recorder, MANY)) == 0


def test_step_that_fails_holds_up_no_other(engine: Engine) -> None:
    broken = {"overdue": overdue(engine), "timed_out": late(engine)}
    with engine.connect() as connection:
        connection.execute(text("DROP FUNCTION due"))
    found = Reconciler(services(engine, Recorder(), MANY)).run_once()
    assert (found["failed"], found["overdue"], found["timed_out"]) == (1, 1, 1)
    assert_repaired(engine, broken)
