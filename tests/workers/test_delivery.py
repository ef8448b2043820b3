"""Messages in any order, each of them twice: every satellite runs exactly once, as soon as its dependencies allow."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given, note
from hypothesis import strategies as st

from state_manager.states import FINISHED, FailurePolicy
from state_manager.store import satellites
from tests import factories
from tests.store.attempts import execution, rows, statuses
from tests.store.invariants import assert_sound
from workers.dispatch import canvas, dispatcher
from workers.process import current_process

if TYPE_CHECKING:
    from random import Random

    from sqlalchemy import Engine

    from tests.factories import Graph, Submitted
    from tests.workers.broker import Broker, Message

ONE_OF_THREE = 1 / 3


class Delivery:
    """An execution whose messages are delivered one by one; after each, all that is ready is on its way."""

    def __init__(self, engine: Engine, broker: Broker, submitted: Submitted) -> None:
        self._engine = engine
        self._broker = broker
        self._submitted = submitted
        self.fresh: list[Message] = []
        self.delivered: list[Message] = []
        self._sent: set[str] = set()
        current_process().dispatcher.dispatch_new(submitted.execution_id, submitted.nodes)
        self._look()

    def deliver(self, at: int) -> None:
        """Deliver a message that was not delivered before."""
        message = self.fresh.pop(at)
        message.deliver()
        self.delivered.append(message)
        self._look()

    def deliver_again(self, at: int) -> None:
        """Deliver a message for the second and last time."""
        self.delivered.pop(at).deliver()
        self._look()

    def deliver_all(self) -> None:
        """Deliver whatever is left, and each message twice."""
        while self.fresh:
            self.deliver(0)
        while self.delivered:
            self.deliver_again(0)
        assert not self.fresh

    def _look(self) -> None:
        sent = self._broker.take()
        for message in sent:
            assert len(message.riders) <= max(canvas.LINKS_A_MESSAGE, len(message.heads))
            assert len(message.riders) == len(set(message.riders))
            assert self._sent.isdisjoint(message.heads), "a satellite is sent once, when it becomes ready"
            self._sent.update(message.heads)
        self.fresh += sent
        ready = {str(one) for one in satellites.ready(self._engine, self._submitted.execution_id)}
        on_the_way = {head for message in self.fresh for head in message.heads}
        if str(self._submitted.execution_id) in on_the_way:
            return
        assert ready <= on_the_way, f"{ready - on_the_way} are ready, and no message starts them"

    def assert_over(self) -> None:
        """Hold the end against what was asked for: each satellite ran once, or could not run."""
        assert execution(self._engine, self._submitted)["status"] in FINISHED
        assert_sound(self._engine, self._submitted.execution_id)
        for row in rows(self._engine, self._submitted).values():
            assert row["attempt"] == (1 if row["status"] in {"completed", "failed", "cancelled"} else 0)


@pytest.mark.parametrize("broker", [0, 100], indirect=True, ids=["a message each", "time slices"])
@given(
    graph=factories.graphs(),
    policy=st.sampled_from(FailurePolicy),
    links=st.sampled_from([50, 3, 5, 8]),
    copies=st.sampled_from([200, 1, 6]),
    random=st.randoms(use_true_random=True),
)
def test_each_satellite_runs_once_and_without_a_level_barrier(
    engine: Engine,
    broker: Broker,
    *,
    graph: Graph,
    policy: FailurePolicy,
    links: int,
    copies: int,
    random: Random,
) -> None:
    failing, all_done = factories.some_of(random, graph, one_in=5), factories.some_of(random, graph, one_in=2)
    note(f"{failing=} {all_done=}")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(canvas, "LINKS_A_MESSAGE", links)
        patch.setattr(canvas, "COPIES_A_CANVAS", copies)
        submitted = factories.submit(engine, graph, failing=failing, all_done=all_done, policy=policy)
        delivery = Delivery(engine, broker, submitted)
        while delivery.fresh:
            if delivery.delivered and random.random() < ONE_OF_THREE:
                delivery.deliver_again(random.randrange(len(delivery.delivered)))
            else:
                delivery.deliver(random.randrange(len(delivery.fresh)))
        delivery.deliver_all()
    delivery.assert_over()


@pytest.mark.parametrize("broker", [0, 100], indirect=True, ids=["a message each", "time slices"])
@pytest.mark.parametrize(
    "graph",
    [
        pytest.param(factories.chain(120), id="a chain of several messages"),
        pytest.param(factories.map_reduce(20), id="a map-reduce"),
        pytest.param(factories.map_reduce(60), id="a map-reduce over the budget"),
        pytest.param(factories.fan_in(dispatcher.WIDE_FRONT + 1), id="a front that a worker sends"),
        pytest.param(factories.complete_layers(4, 5), id="layers that wait for all of the layer before"),
    ],
)
def test_large_cluster_runs_to_its_end(engine: Engine, broker: Broker, graph: Graph) -> None:
    submitted = factories.submit(engine, graph)
    delivery = Delivery(engine, broker, submitted)
    delivery.deliver_all()
    delivery.assert_over()
    assert set(statuses(engine, submitted).values()) == {"completed"}


def test_what_runs_after_a_failure_is_sent_though_celery_follows_no_chain(engine: Engine, broker: Broker) -> None:
    graph = {"a": [], "b": ["a"], "cleanup": ["b"], "after": ["cleanup"]}
    submitted = factories.submit(engine, graph, failing={"b"}, all_done={"cleanup"})
    delivery = Delivery(engine, broker, submitted)
    delivery.deliver_all()
    delivery.assert_over()
    assert statuses(engine, submitted)["after"] == "completed"


def test_body_of_a_chord_is_sent_by_a_part_that_failed(engine: Engine, broker: Broker) -> None:
    submitted = factories.submit(engine, factories.DIAMOND, failing={"b", "c"}, all_done={"d"})
    delivery = Delivery(engine, broker, submitted)
    delivery.deliver_all()
    assert statuses(engine, submitted) == {"a": "completed", "b": "failed", "c": "failed", "d": "completed"}


def test_execution_that_is_let_in_is_sent(engine: Engine, broker: Broker) -> None:
    first = factories.submit(engine, factories.front(1))
    waiting = factories.submit(engine, factories.DIAMOND, max_concurrent=0)
    Delivery(engine, broker, first).deliver_all()
    assert statuses(engine, waiting) == dict.fromkeys(factories.DIAMOND, "completed")
    assert_sound(engine, waiting.execution_id)
