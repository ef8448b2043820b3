"""The times at which probes are sent: soon after a message may be lost, seldom to an idle queue, and once each."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING
from uuid import uuid4

import pytest
from sqlalchemy import select, update

from state_manager.store import probes, queueing, satellite_types
from state_manager.store.satellite_types import SatelliteType
from state_manager.store.tables import satellites
from tests.factories import chain, front, report_worker, submit
from tests.store.attempts import claim
from tests.store.rivals import rival_to

if TYPE_CHECKING:
    from uuid import UUID

    from sqlalchemy import Engine

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
MOMENT = timedelta(milliseconds=1)
QUEUE = "satellites"
DESERTED = "deserted"


@pytest.fixture(autouse=True)
def listening(engine: Engine) -> None:
    """Let a worker listen to all queues but `DESERTED`."""
    report_worker(engine, uuid4(), "a worker", [QUEUE, "idle", "q0", "q1", "q2"])


def seconds(number: float) -> timedelta:
    return timedelta(seconds=number)


def due(engine: Engine, now: datetime) -> list[str]:
    """Answer the queues that are probed now, and hold that the probe is of this moment."""
    found = probes.due_probes(engine, now)
    assert {sent_at for _, sent_at in found} <= {now}
    return sorted(queue for queue, _ in found)


def known_queues(engine: Engine, *queues: str) -> None:
    satellite_types.register_types(engine, [SatelliteType(f"satellite/test/{queue}", queue) for queue in queues])


def answered_at_noon(engine: Engine) -> None:
    """Send a first probe through the queue at noon, and let it come out."""
    assert due(engine, NOON) == [QUEUE]
    probes.answer_probe(engine, QUEUE)


def test_no_queue_no_probe(engine: Engine) -> None:
    assert due(engine, NOON) == []


def test_queue_that_was_never_probed_is_probed_at_once(engine: Engine) -> None:
    known_queues(engine, "idle")
    submit(engine, front(2), now=NOON)
    assert due(engine, NOON) == ["idle", QUEUE]
    assert due(engine, NOON) == []


def test_idle_queue_is_probed_every_half_minute(engine: Engine) -> None:
    known_queues(engine, QUEUE)
    answered_at_noon(engine)
    assert due(engine, NOON + seconds(30)) == []
    assert due(engine, NOON + seconds(30) + MOMENT) == [QUEUE]


def test_satellite_that_is_ready_for_half_a_second_calls_for_a_probe(engine: Engine) -> None:
    known_queues(engine, QUEUE)
    answered_at_noon(engine)
    submit(engine, front(1), now=NOON + seconds(5))
    assert due(engine, NOON + seconds(5.5)) == []
    assert due(engine, NOON + seconds(5.5) + MOMENT) == [QUEUE]


def test_backlog_is_probed_no_more_often_than_every_half_second(engine: Engine) -> None:
    submit(engine, front(1), now=NOON - seconds(60))
    answered_at_noon(engine)
    assert due(engine, NOON + seconds(0.5)) == []
    assert due(engine, NOON + seconds(0.5) + MOMENT) == [QUEUE]


def test_what_is_claimed_or_waits_for_another_calls_for_no_probe(engine: Engine) -> None:
    submitted = submit(engine, chain(2), now=NOON)
    answered_at_noon(engine)
    claim(engine, submitted, "s0", now=NOON)
    assert due(engine, NOON + seconds(29)) == []


def test_probes_that_do_not_come_out_are_sent_ever_more_seldom(engine: Engine) -> None:
    submit(engine, front(1), now=NOON - seconds(60))
    assert due(engine, NOON) == [QUEUE]
    last = NOON
    for wait_s in (2, 4, 8, 16, 32, 60, 60, 60):
        assert due(engine, last + seconds(wait_s)) == []
        last += seconds(wait_s) + MOMENT
        assert due(engine, last) == [QUEUE]


def test_idle_queue_that_does_not_answer_is_probed_sooner_than_one_that_does(engine: Engine) -> None:
    known_queues(engine, QUEUE)
    assert due(engine, NOON) == [QUEUE]
    assert due(engine, NOON + seconds(2) + MOMENT) == [QUEUE]


def test_any_probe_that_comes_out_is_good(engine: Engine) -> None:
    submit(engine, front(1), now=NOON - seconds(60))
    for at_s in (0, 3, 8, 17):
        assert due(engine, NOON + seconds(at_s)) == [QUEUE]
    probes.answer_probe(engine, QUEUE)
    assert due(engine, NOON + seconds(18)) == [QUEUE]
    assert due(engine, NOON + seconds(20)) == []
    assert due(engine, NOON + seconds(20) + MOMENT) == [QUEUE]


def test_queues_are_probed_each_by_itself(engine: Engine) -> None:
    submitted = submit(engine, front(6), now=NOON - seconds(60))
    for at, name in enumerate(submitted.ids):
        with engine.connect() as connection:
            this = satellites.c.id == submitted[name]
            connection.execute(update(satellites).where(this).values(queue=f"q{at % 3}"))
    assert due(engine, NOON) == ["q0", "q1", "q2"]
    probes.answer_probe(engine, "q1")
    assert due(engine, NOON + seconds(1)) == ["q1"]
    assert due(engine, NOON + seconds(2.5)) == ["q0", "q2"]


def test_of_two_reconcilers_at_once_one_sends_the_probe(engine: Engine) -> None:
    submit(engine, front(1), now=NOON - seconds(60))
    for now in (NOON, NOON + seconds(3)):
        with rival_to(engine) as (first, rival):
            assert due(first, now) == [QUEUE]
            later = rival.waits(due, now + MOMENT)
        assert later.result() == []


def test_probes_do_not_pile_up_in_a_queue_that_nobody_listens_to(engine: Engine) -> None:
    known_queues(engine, DESERTED)
    assert due(engine, NOON) == [DESERTED]
    for minutes in (1, 10, 100):
        assert due(engine, NOON + seconds(60 * minutes)) == []


def test_queue_is_probed_again_once_a_worker_listens(engine: Engine) -> None:
    known_queues(engine, DESERTED)
    due(engine, NOON)
    report_worker(engine, uuid4(), "another worker", [DESERTED])
    assert due(engine, NOON + seconds(3)) == [DESERTED]


def test_clock_that_jumps_back_stops_no_probes(engine: Engine) -> None:
    known_queues(engine, QUEUE)
    answered_at_noon(engine)
    earlier = NOON - seconds(3600)
    assert due(engine, earlier) == [QUEUE]
    assert due(engine, earlier + MOMENT) == []


def test_message_that_was_lost_before_the_clock_jumped_back_is_found(engine: Engine) -> None:
    tomorrow = datetime.now(UTC) + seconds(86400)
    submitted = submit(engine, front(1), now=tomorrow)
    probes.due_probes(engine, tomorrow)
    probes.answer_probe(engine, QUEUE)
    ((queue, sent_at),) = probes.due_probes(engine)
    assert [one.id for one in queueing.take_lost_messages(engine, queue, sent_at, 10)] == [submitted["s0"]]
    assert queueing.take_lost_messages(engine, queue, sent_at, 10) == []


def test_probe_that_is_answered_finds_what_is_lost_and_nothing_else(engine: Engine) -> None:
    lost = submit(engine, front(1), now=NOON - seconds(60))
    ((queue, sent_at),) = probes.due_probes(engine, NOON)
    fresh = submit(engine, front(1), now=NOON + MOMENT)
    assert [one.id for one in queueing.take_lost_messages(engine, queue, sent_at, 10)] == [lost["s0"]]
    assert satellites_queued_at(engine, fresh["s0"]) == NOON + MOMENT


def satellites_queued_at(engine: Engine, satellite_id: UUID) -> datetime | None:
    with engine.connect() as connection:
        query = select(satellites.c.queued_at).where(satellites.c.id == satellite_id)
        queued_at: datetime | None = connection.execute(query).scalar_one()
    return queued_at
