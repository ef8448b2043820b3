"""The dispatcher: sends messages for ready satellites to the broker.

A new execution is sent as canvases. What a settle makes ready later is sent without one, in batches where it is
short: a worker that goes on within its time slice needs only a message to begin with.
"""

from __future__ import annotations

import logging
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from kombu.exceptions import OperationalError as BrokerError
from redis.exceptions import RedisError

from state_manager.failpoints import Point, reach
from state_manager.store import queueing, satellites
from state_manager.store.outages import DATABASE_ERRORS, describe
from workers.app import DISPATCH_EXECUTION, PROBE, RUN_SATELLITE, app
from workers.dispatch.canvas import compile_canvas, heads

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
    from datetime import datetime
    from uuid import UUID

    from celery.app.task import Context
    from celery.canvas import Signature
    from sqlalchemy import Engine

    from state_manager.store.queueing import Unsent
    from state_manager.store.satellites import Node
    from workers.dispatch.durations import UsualDurations

_log = logging.getLogger(__name__)

WIDE_FRONT = 64
"""Most ready satellites of a submission that the API dispatches. More are left to a worker, which knows what is short
and can be batched, so that the client does not wait for their messages."""

SEND_S = 0.002
"""Upper bound of the time to send one message. A wide front counts as queued when the last of it has been sent, so
that no probe takes for lost what is still being sent."""

BROKER_ERRORS = (BrokerError, RedisError, OSError)
"""The exceptions that kombu and redis-py raise while the broker is away."""


@dataclass(frozen=True, slots=True)
class Dispatcher:
    """Sends Celery messages for ready satellites. While the broker is away it raises only where a method says so.

    What was not sent is still ready in PostgreSQL: the reconciler's probes find it, and it is sent later.
    """

    engine: Engine
    durations: UsualDurations

    def dispatch_new(self, execution_id: UUID, nodes: Mapping[UUID, Node]) -> None:
        """Send the first satellites of a new execution, as canvases. Raises what the broker raises."""
        ready = [node.id for node in nodes.values() if not node.dependencies]
        if len(ready) > WIDE_FRONT:
            _send_dispatch_task(execution_id)
        else:
            _publish(compile_canvas(nodes, ready, execution_id))

    def continue_canvas(self, request: Context, ready: Collection[UUID], claimed: Collection[UUID]) -> None:
        """At the end of a message, let its canvas continue with what is ready, and send the rest by itself.

        Celery itself sends the next link of `request.chain`, and the backend the body of `request.chord`, each only
        if all that it starts with is ready: another message may have run it, or a cancel ended it, meanwhile.
        `claimed` are the satellites that this message has already run.
        """
        done, request.ready = {str(one) for one in claimed}, frozenset(str(one) for one in ready)
        while request.chain and not done.isdisjoint(heads(request.chain[-1])):
            request.chord = request.chain.pop()["options"].get("chord") or request.chord
        led_to: set[str] = set()
        if request.chain and not request.ready.issuperset(heads(request.chain[-1])):
            request.chain = None
        for leads_to in (request.chain and request.chain[-1], request.chord):
            if leads_to and request.ready.issuperset(heads(leads_to)):
                led_to.update(heads(leads_to))
        self.send_ready([one for one in ready if str(one) not in led_to])

    def dispatch_execution(self, execution_id: UUID) -> None:
        """Send messages for all that is ready in an execution."""
        self.send_ready(satellites.ready(self.engine, execution_id))

    def send_ready(self, ready: Collection[UUID], *, apart: bool = False) -> None:
        """Send messages for satellites that are ready, of any executions; `apart`, each in a message of its own."""
        if not ready:
            return
        try:
            self.send(queueing.unsent(self.engine, ready), apart=apart)
        except DATABASE_ERRORS as error:  # the reconciler will find and send it
            _log.warning("not dispatched yet: %s", describe(error))

    def send(self, unsent: Sequence[Unsent], *, apart: bool = False) -> None:
        """Send messages for these satellites, each under a task id that Celery has not seen yet."""
        batches = [[one] for one in unsent] if apart else list(self.durations.batches(unsent))
        if len(batches) > WIDE_FRONT:
            queueing.queue_later(self.engine, [one.id for one in unsent], len(batches) * SEND_S)
        with tolerating_lost_broker():
            _publish(_message(batch) for batch in batches)

    def enqueue_dispatch(self, execution_id: UUID) -> None:
        """Ask a worker to send messages for all that is ready in this execution."""
        with tolerating_lost_broker():
            _send_dispatch_task(execution_id)

    def send_probe(self, queue: str, sent_at: datetime) -> None:
        """Send a probe through a queue."""
        with tolerating_lost_broker():
            app.send_task(PROBE, (queue, sent_at.isoformat()), queue=queue, ignore_result=True)


@contextmanager
def tolerating_lost_broker() -> Iterator[None]:
    """Log that the broker is away instead of raising; what was not sent is ready in PostgreSQL, and is sent later."""
    try:
        yield
    except BROKER_ERRORS as error:
        _log.warning("not dispatched yet, the broker is away: %s", error)


def _send_dispatch_task(execution_id: UUID) -> None:
    app.send_task(DISPATCH_EXECUTION, (str(execution_id),), root_id=str(execution_id), ignore_result=True)


def _message(batch: Sequence[Unsent]) -> Signature:
    first = batch[0]
    options = {
        "task_id": f"{first.id}~{first.dispatches}" if first.dispatches else str(first.id),
        "root_id": str(first.execution_id),
        "queue": first.queue,
    }
    return app.signature(RUN_SATELLITE, args=tuple(str(one.id) for one in batch), options=options, immutable=True)


def _publish(signatures: Iterable[Signature]) -> None:
    with app.producer_or_acquire() as producer:
        for signature in signatures:
            reach(Point.BEFORE_PUBLISH)
            signature.apply_async(producer=producer)
