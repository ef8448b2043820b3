"""From what became ready to messages on the broker."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

from state_manager.store import satellites
from workers.app import DISPATCH_EXECUTION, app
from workers.canvas import compile_canvas, heads
from workers.process import engine

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from uuid import UUID

    from celery.app.task import Context

    from state_manager.store.satellites import Node

WIDE_FRONT = 200
"""A submission with a wider front is sent by a worker, so that its client is not kept waiting."""


def start(execution_id: UUID, nodes: Mapping[UUID, Node]) -> None:
    """Send what a new execution begins with."""
    ready = [node.id for node in nodes.values() if not node.dependencies]
    if len(ready) > WIDE_FRONT:
        hand_over(execution_id)
    else:
        send(execution_id, nodes, ready)


def hand_over(execution_id: UUID) -> None:
    """Ask a worker to send whatever is ready in this execution."""
    app.send_task(DISPATCH_EXECUTION, (str(execution_id),), root_id=str(execution_id), ignore_result=True)


def send(execution_id: UUID, nodes: Mapping[UUID, Node], ready: Sequence[UUID]) -> None:
    """Compile the ready satellites, and what a canvas can say of what is behind them, and send it."""
    with app.producer_or_acquire() as producer:
        for signature in compile_canvas(nodes, ready, execution_id):
            signature.apply_async(producer=producer)


@lru_cache(maxsize=8)
def graph(execution_id: UUID) -> Mapping[UUID, Node]:
    """Return the shape of an execution's graph, which stays as it was submitted."""
    return satellites.graph(engine(), execution_id)


def go_on(request: Context, execution_id: UUID, ready: Iterable[UUID]) -> None:
    """After a settle: let the message go on where it leads, and send what it does not lead to.

    Celery itself sends the next link of `request.chain`, and the backend the body of `request.chord`, each
    only if all that it starts with is ready now: something else may have run it, or ended it, meanwhile.
    """
    names = {str(one): one for one in ready}
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
        send(execution_id, graph(execution_id), rest)
