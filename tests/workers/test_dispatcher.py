"""Messages for ready satellites: their task ids, their queues, and the satellites that a canvas does not reach."""

from __future__ import annotations

from datetime import UTC, datetime
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from kombu import pools
from sqlalchemy import func, select, update

from state_manager.store import satellites, tables, transitions
from tests import factories
from tests.store.attempts import claim, complete
from workers.app import app
from workers.dispatch import dispatcher
from workers.dispatch.dispatcher import WIDE_FRONT
from workers.process import current_process

if TYPE_CHECKING:
    import pytest
    from sqlalchemy import Engine

    from tests.factories import Submitted
    from tests.workers.broker import Broker, Message


def task_id(message: Message) -> str:
    return str(message._raw["headers"]["id"])


def link(submitted: Submitted, name: str) -> dict[str, Any]:
    """Return a link of a chain, as Celery has it in a request."""
    return {"subtask_type": None, "args": [str(submitted[name])], "kwargs": {}, "options": {}}


def request(*links: dict[str, Any]) -> Any:
    """Return the request of a message whose chain goes on with these, the next one last."""
    return SimpleNamespace(chain=list(links), chord=None)


def test_each_message_of_a_satellite_has_another_task_id(engine: Engine, broker: Broker) -> None:
    submitted = factories.submit(engine, factories.front(1))
    sender = current_process().dispatcher
    sender.dispatch_execution(submitted.execution_id)
    transitions.release(engine, claim(engine, submitted, "s0"))
    sender.dispatch_execution(submitted.execution_id)
    assert [task_id(message) for message in broker.take()] == [str(submitted["s0"]), f"{submitted['s0']}~1"]


def test_satellite_is_sent_through_its_own_queue(engine: Engine, broker: Broker) -> None:
    submitted = factories.submit(engine, factories.front(2))
    with engine.connect() as connection:
        this = tables.satellites.c.id == submitted["s1"]
        connection.execute(update(tables.satellites).where(this).values(queue="special"))
    current_process().dispatcher.dispatch_execution(submitted.execution_id)
    sent = {message.heads[0]: message._raw["properties"]["delivery_info"]["routing_key"] for message in broker.take()}
    assert sent == {str(submitted["s0"]): "satellites", str(submitted["s1"]): "special"}


def test_wide_front_is_left_to_a_worker(engine: Engine, broker: Broker) -> None:
    submitted = factories.submit(engine, factories.front(WIDE_FRONT + 1))
    current_process().dispatcher.dispatch_new(submitted.execution_id, submitted.nodes)
    assert [message.heads for message in broker.take()] == [[str(submitted.execution_id)]]


def test_wide_front_counts_as_queued_once_it_is_sent(
    engine: Engine, broker: Broker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No probe takes for lost what is still being sent."""
    monkeypatch.setattr(dispatcher, "SEND_S", 60)
    submitted = factories.submit(engine, factories.front(WIDE_FRONT + 1))
    ready = satellites.ready(engine, submitted.execution_id)
    current_process().dispatcher.send_ready(ready, apart=True)
    assert len(broker.take()) == WIDE_FRONT + 1
    with engine.connect() as connection:
        in_the_future = tables.satellites.c.queued_at > func.clock_timestamp()
        count = connection.scalar(select(func.count()).where(in_the_future))
    assert count == WIDE_FRONT + 1


def test_broker_that_is_away_raises_nothing(engine: Engine, broker: Broker, monkeypatch: pytest.MonkeyPatch) -> None:
    submitted = factories.submit(engine, factories.front(1))
    sender = current_process().dispatcher
    monkeypatch.setattr(app.conf, "broker_url", "redis://127.0.0.1:1")
    pools.reset()
    app._pool = None
    app.amqp._producer_pool = None
    sender.dispatch_execution(submitted.execution_id)
    sender.enqueue_dispatch(submitted.execution_id)
    sender.send_probe("satellites", datetime.now(UTC))
    assert satellites.ready(engine, submitted.execution_id) == [submitted["s0"]]


def test_link_that_is_not_ready_is_not_followed(engine: Engine, broker: Broker) -> None:
    submitted = factories.submit(engine, {"a": [], "b": ["a"], "c": ["a"]})
    complete(engine, submitted, "a")
    claim(engine, submitted, "b")  # by another message
    ours = request(link(submitted, "b"))
    current_process().dispatcher.continue_canvas(ours, [submitted["c"]], [submitted["a"]])
    assert ours.chain is None
    assert [message.heads for message in broker.take()] == [[str(submitted["c"])]]


def test_links_that_this_message_has_run_are_not_followed(engine: Engine, broker: Broker) -> None:
    submitted = factories.submit(engine, factories.chain(4))
    for name in ("s0", "s1", "s2"):
        complete(engine, submitted, name)
    ours = request(*(link(submitted, name) for name in ("s3", "s2", "s1")))
    ran = [submitted[name] for name in ("s0", "s1", "s2")]
    current_process().dispatcher.continue_canvas(ours, [submitted["s3"]], ran)
    assert [one["args"] for one in ours.chain] == [[str(submitted["s3"])]]
    assert broker.take() == [], "Celery sends the next link itself"
