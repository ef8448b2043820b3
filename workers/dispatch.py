"""From what is ready to messages on the broker.

A new execution goes out as canvases, which lead a long way. What a settle makes ready later goes out by itself, in
batches where it is short: a worker that goes on in its time slice needs no canvas to lead it, only to be started.
"""

from __future__ import annotations

import logging
from contextlib import contextmanager
from typing import TYPE_CHECKING

from kombu.exceptions import OperationalError as BrokerError
from redis.exceptions import RedisError

from state_manager.failpoints import Point, reach
from state_manager.store import recovery, satellites
from workers.app import DISPATCH_EXECUTION, PROBE, RUN_SATELLITE, app
from workers.canvas import compile_canvas, heads
from workers.process import here

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
    from datetime import datetime
    from uuid import UUID

    from celery.app.task import Context
    from celery.canvas import Signature

    from state_manager.store.recovery import Unsent
    from state_manager.store.satellites import Node

_log = logging.getLogger(__name__)

WIDE_FRONT = 64
"""A submission with a wider front is sent by a worker: it knows what is short and goes in batches, and its client is
not kept waiting."""

SEND_S = 0.002
"""Sending a message takes less than this. A wide front counts as queued when the last of it has been sent, so that
no probe takes for lost what is on its way."""


def start(execution_id: UUID, nodes: Mapping[UUID, Node]) -> None:
    """Send what a new execution begins with. Raises what the broker raises: it is the caller who waits for it."""
    ready = [node.id for node in nodes.values() if not node.dependencies]
    if len(ready) > WIDE_FRONT:
        _hand_over(execution_id)
    else:
        _publish(compile_canvas(nodes, ready, execution_id))


def go_on(request: Context, ready: Collection[UUID], taken: Collection[UUID]) -> None:
    """At the end of a message: let it lead on to what is ready, and send what it does not lead to.

    Celery itself sends the next link of `request.chain`, and the backend the body of `request.chord`, each only if
    all that it starts with is ready: something else may have run it, or ended it, meanwhile. `taken` has been run.
    """
    done, request.ready = {str(one) for one in taken}, frozenset(str(one) for one in ready)
    while request.chain and not done.isdisjoint(heads(request.chain[-1])):
        request.chord = request.chain.pop()["options"].get("chord") or request.chord
    led_to: set[str] = set()
    if request.chain and not request.ready.issuperset(heads(request.chain[-1])):
        request.chain = None
    for leads_to in (request.chain and request.chain[-1], request.chord):
        if leads_to and request.ready.issuperset(heads(leads_to)):
            led_to.update(heads(leads_to))
    send([one for one in ready if str(one) not in led_to])


def send_all(execution_id: UUID) -> None:
    """Send messages for whatever is ready in an execution."""
    send(satellites.ready(here().engine, execution_id))


def send(ready: Collection[UUID], *, apart: bool = False) -> None:
    """Send messages for satellites that are ready, of any executions; `apart`, each has one of its own."""
    if ready:
        send_again(recovery.unsent(here().engine, ready), apart=apart)


def send_again(unsent: Sequence[Unsent], *, apart: bool = False) -> None:
    """Send messages for these satellites, each under a task id that Celery has not seen yet."""
    batches = [[one] for one in unsent] if apart else list(here().pace.batches(unsent))
    if len(batches) > WIDE_FRONT:
        recovery.queue_later(here().engine, [one.id for one in unsent], len(batches) * SEND_S)
    with a_broker_that_may_be_away():
        _publish(_message(batch) for batch in batches)


def hand_over(execution_id: UUID) -> None:
    """Ask a worker to send whatever is ready in this execution."""
    with a_broker_that_may_be_away():
        _hand_over(execution_id)


def announce(execution_id: UUID, *, ended: bool = False) -> None:
    """Tell who watches an execution that it has new events, and whether its last is among them."""
    here().notices.changed(execution_id, ended=ended)


def probe(queue: str, sent_at: datetime) -> None:
    """Send a probe through a queue."""
    with a_broker_that_may_be_away():
        app.send_task(PROBE, (queue, sent_at.isoformat()), queue=queue, ignore_result=True)


@contextmanager
def a_broker_that_may_be_away() -> Iterator[None]:
    """Let it be: what was not sent is ready in PostgreSQL, and the reconciler sees that it is sent later."""
    try:
        yield
    except (BrokerError, RedisError, OSError) as error:
        _log.warning("not dispatched yet, the broker is away: %s", error)


def _hand_over(execution_id: UUID) -> None:
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
