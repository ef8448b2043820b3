"""When a probe is sent through a queue: at the first sign of a lost message, seldom to an idle one, and once."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from sqlalchemy import update

from state_manager.store import probes, satellite_types
from state_manager.store.satellite_types import SatelliteType
from state_manager.store.tables import satellites
from tests.factories import chain, front, submit
from tests.store.attempts import claim
from tests.store.rivals import rival_to

if TYPE_CHECKING:
    from sqlalchemy import Engine

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
MOMENT = timedelta(milliseconds=1)
QUEUE = "satellites"


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
