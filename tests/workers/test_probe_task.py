"""A probe that comes out of its queue shows whose messages are lost: they are sent again, and it is answered."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from sqlalchemy import select

from state_manager.store import probes, tables
from tests import factories
from workers.process import current_process

if TYPE_CHECKING:
    from sqlalchemy import Engine

    from tests.workers.broker import Broker

QUEUE = "satellites"


def deliver_probe(broker: Broker) -> None:
    current_process().dispatcher.send_probe(QUEUE, datetime.now(UTC) + timedelta(seconds=60))
    (probe,) = broker.take()
    probe.deliver()


def test_probe_that_comes_out_sends_what_is_lost_again(engine: Engine, broker: Broker) -> None:
    submitted = factories.submit(engine, factories.chain(2))
    deliver_probe(broker)
    assert [message.heads for message in broker.take()] == [[str(submitted["s0"])]]


def test_probe_that_comes_out_is_answered(engine: Engine, broker: Broker) -> None:
    factories.submit(engine, factories.front(1))
    assert [queue for queue, _ in probes.due_probes(engine)] == [QUEUE]
    deliver_probe(broker)
    with engine.connect() as connection:
        assert connection.scalar(select(tables.probes.c.unanswered)) == 0
