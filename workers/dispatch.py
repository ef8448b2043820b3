"""From what became ready to messages on the broker."""

from __future__ import annotations

import logging
from contextlib import contextmanager
from functools import lru_cache
from typing import TYPE_CHECKING

from kombu.exceptions import OperationalError as BrokerError
from redis.exceptions import RedisError

from state_manager.failpoints import Point, reach
from state_manager.store import recovery, satellites
from workers.app import DISPATCH_EXECUTION, PROBE, RUN_SATELLITE, app
from workers.canvas import compile_canvas, heads
from workers.process import engine

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from datetime import datetime
    from uuid import UUID

    from celery.app.task import Context
    from celery.canvas import Signature

    from state_manager.store.recovery import Unsent
    from state_manager.store.satellites import Node
    from state_manager.store.transitions import Claimed

_log = logging.getLogger(__name__)

WIDE_FRONT = 200
"""A submission with a wider front is sent by a worker, so that its client is not kept waiting."""

SEND_S = 0.002
"""Sending a message takes less than this. A wide front counts as queued when the last of it has been sent, so that
no probe takes for lost what is on its way."""


def start(execution_id: UUID, nodes: Mapping[UUID, Node]) -> None:
    """Send what a new execution begins with. Raises what the broker raises: it is the caller who waits for it."""
    ready = [node.id for node in nodes.values() if not node.dependencies]
    if len(ready) > WIDE_FRONT:
        _hand_over(execution_id)
    else:
        _send(execution_id, nodes, ready)


def send(execution_id: UUID, nodes: Mapping[UUID, Node], ready: Sequence[UUID]) -> None:
    """Compile the ready satellites, and what a canvas can say of what is behind them, and send it."""
    if len(ready) > WIDE_FRONT:
        recovery.queue_later(engine(), ready, len(ready) * SEND_S)
    with a_broker_that_may_be_away():
        _send(execution_id, nodes, ready)


def send_again(unsent: Sequence[Unsent]) -> None:
    """Send each of these satellites a message of its own, under a task id that Celery has not seen yet."""
    with a_broker_that_may_be_away():
        _publish(
            app.signature(
                RUN_SATELLITE,
                args=(str(one.id),),
                options={
                    "task_id": f"{one.id}~{one.dispatches + 1}",
                    "root_id": str(one.execution_id),
                    "queue": one.queue,
                },
                immutable=True,
            )
            for one in unsent
        )


def hand_over(execution_id: UUID) -> None:
    """Ask a worker to send whatever is ready in this execution."""
    with a_broker_that_may_be_away():
        _hand_over(execution_id)


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
        _log.warning("not sent, the broker is away: %s", error)


def _hand_over(execution_id: UUID) -> None:
    app.send_task(DISPATCH_EXECUTION, (str(execution_id),), root_id=str(execution_id), ignore_result=True)


def _send(execution_id: UUID, nodes: Mapping[UUID, Node], ready: Sequence[UUID]) -> None:
    _publish(compile_canvas(nodes, ready, execution_id))


def _publish(signatures: Iterable[Signature]) -> None:
    with app.producer_or_acquire() as producer:
        for signature in signatures:
            reach(Point.BEFORE_PUBLISH)
            signature.apply_async(producer=producer)


@lru_cache(maxsize=8)
def graph(execution_id: UUID) -> Mapping[UUID, Node]:
    """Return the shape of an execution's graph, which stays as it was submitted."""
    return satellites.graph(engine(), execution_id)


def go_on(request: Context, attempt: Claimed, ready: Iterable[UUID]) -> None:
    """After a settle: let the message go on where it leads, and send what it does not lead to.

    Celery itself sends the next link of `request.chain`, and the backend the body of `request.chord`, each
    only if all that it starts with is ready now: something else may have run it, or ended it, meanwhile.
    """
    names = {str(one): one for one in ready}
    if names.pop(str(attempt.id), None):
        send_again(recovery.unsent(engine(), [attempt.id]))
    request.ready = frozenset(names)
    led_to: set[str] = set()
    if request.chain:
        following = set(heads(request.chain[-1]))
        if following <= request.ready:
            led_to |= following
        else:
            request.chain = None
    if request.chord and (body := set(heads(request.chord))) <= request.ready:
        led_to |= body
    rest = [one for name, one in names.items() if name not in led_to]
    if rest:
        send(attempt.execution_id, graph(attempt.execution_id), rest)
