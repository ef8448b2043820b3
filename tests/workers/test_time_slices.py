"""One message has its worker run what it names, and what that makes ready, until its time slice is over."""

from __future__ import annotations

from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import update

from state_manager.config import settings
from state_manager.store import tables
from tests import factories
from tests.store.attempts import complete, rows, statuses
from tests.store.invariants import assert_sound
from workers.process import current_process
from workers.slices import Slice

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy import Engine

    from tests.factories import Submitted
    from tests.workers.broker import Broker

SLICE_MS = 10_000


@pytest.fixture
def broker(broker: Broker) -> Broker:
    """Have this process listen to the queue of all satellites."""
    current_process().queues = ["satellites"]
    return broker


def make_slice() -> tuple[Slice, Any]:
    request = SimpleNamespace(chain=None, chord=None, get=lambda _: None)
    return Slice(request), request


def ids(submitted: Submitted, *names: str) -> Sequence[Any]:
    return [submitted[name] for name in names]


def begin(broker: Broker, submitted: Submitted) -> None:
    """Send and deliver the first message of an execution."""
    current_process().dispatcher.dispatch_execution(submitted.execution_id)
    (first,) = broker.take()
    first.deliver()


@pytest.mark.parametrize("broker", [SLICE_MS], indirect=True)
def test_worker_goes_on_without_a_message_while_its_slice_lasts(engine: Engine, broker: Broker) -> None:
    submitted = factories.submit(engine, factories.chain(5))
    begin(broker, submitted)
    assert set(statuses(engine, submitted).values()) == {"completed"}
    assert broker.take() == []


def test_worker_whose_slice_is_over_sends_what_became_ready(engine: Engine, broker: Broker) -> None:
    submitted = factories.submit(engine, factories.chain(3))
    begin(broker, submitted)
    assert statuses(engine, submitted) == {"s0": "completed", "s1": "pending", "s2": "pending"}
    assert [message.heads for message in broker.take()] == [[str(submitted["s1"])]]


@pytest.mark.parametrize("broker", [SLICE_MS], indirect=True)
def test_worker_learns_how_long_a_type_takes(engine: Engine, broker: Broker) -> None:
    begin(broker, factories.submit(engine, factories.front(1)))
    assert factories.NOTHING in current_process().durations.short()


@pytest.mark.parametrize("broker", [SLICE_MS], indirect=True)
def test_what_did_not_start_is_released_and_sent_each_by_itself(engine: Engine, broker: Broker) -> None:
    submitted = factories.submit(engine, factories.front(3))
    work, _ = make_slice()
    current_process().durations.record(factories.NOTHING, 0.1)  # short enough to share a message
    assert work.claim(ids(submitted, "s0", "s1", "s2"))

    work.release_unstarted()

    assert set(statuses(engine, submitted).values()) == {"pending"}
    assert [message.heads for message in broker.take()] == [[str(one)] for one in ids(submitted, "s0", "s1", "s2")]
    assert current_process().held_attempts.all() == []
    assert_sound(engine, submitted.execution_id)


@pytest.mark.parametrize("broker", [SLICE_MS], indirect=True)
def test_attempt_that_was_taken_away_in_its_batch_is_not_run(engine: Engine, broker: Broker) -> None:
    submitted = factories.submit(engine, factories.front(2))
    work, _ = make_slice()
    work.claim(ids(submitted, "s0", "s1"))
    process = current_process()
    (taken,) = [one for one in process.held_attempts.all() if one.id == submitted["s1"]]
    process.watchdog.take_away(taken)

    work.run()

    assert statuses(engine, submitted) == {"s0": "completed", "s1": "running"}, "it is for its new owner to settle"


@pytest.mark.parametrize("broker", [SLICE_MS], indirect=True)
def test_process_that_stops_hands_back_what_it_claimed(engine: Engine, broker: Broker) -> None:
    submitted = factories.submit(engine, factories.front(2))
    work, _ = make_slice()
    work.claim(ids(submitted, "s0", "s1"))
    current_process().watchdog.stop()

    work.run()

    assert {(row["status"], row["attempt"]) for row in rows(engine, submitted).values()} == {("pending", 0)}
    assert len(broker.take()) == 2
    assert not make_slice()[0].claim(ids(submitted, "s0")), "it claims nothing any more"


@pytest.mark.parametrize("broker", [SLICE_MS], indirect=True)
def test_nothing_is_held_after_a_slice(engine: Engine, broker: Broker) -> None:
    begin(broker, factories.submit(engine, factories.chain(3), failing={"s1"}))
    assert current_process().held_attempts.all() == []


@pytest.mark.parametrize("broker", [SLICE_MS], indirect=True)
def test_claim_that_comes_second_runs_nothing(engine: Engine, broker: Broker) -> None:
    submitted = factories.submit(engine, factories.front(1))
    complete(engine, submitted, "s0")
    assert not make_slice()[0].claim(ids(submitted, "s0"))
    assert current_process().held_attempts.all() == []


@pytest.mark.parametrize("broker", [SLICE_MS], indirect=True)
def test_what_does_not_fit_a_claim_is_sent_again(engine: Engine, broker: Broker) -> None:
    submitted = factories.submit(engine, factories.front(2))
    with engine.connect() as connection:
        large = int(settings().max_input_bytes * 0.6)
        connection.execute(update(tables.satellites).values(input_bytes=large))
    work, _ = make_slice()
    work.claim(ids(submitted, "s0", "s1"))
    assert statuses(engine, submitted) == {"s0": "running", "s1": "pending"}
    assert [message.heads for message in broker.take()] == [[str(submitted["s1"])]]


def test_what_runs_after_a_failure_is_sent_by_itself(engine: Engine, broker: Broker) -> None:
    """Celery follows no chain behind a failure."""
    submitted = factories.submit(engine, factories.chain(2), failing={"s0"}, all_done={"s1"})
    work, request = make_slice()
    request.chain = [{"subtask_type": None, "args": [str(submitted["s1"])], "kwargs": {}, "options": {}}]
    work.claim(ids(submitted, "s0"))
    work.run()
    assert request.chain is None
    assert work.failure is not None
    assert [message.heads for message in broker.take()] == [[str(submitted["s1"])]]
