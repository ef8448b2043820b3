"""Celery: its own canvas, with Redis as broker and result backend.

As it comes, nothing is durable. `durable` acknowledges late and gives back what a lost worker held, on a
Redis that writes each change to disk before it answers.
"""

from __future__ import annotations

import json
import os
import sys
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import celery
from celery import chain, chord, group

from benchmarks.peers import protocol
from benchmarks.workloads import Shape, Workload, work

if TYPE_CHECKING:
    from collections.abc import Iterator

SETTINGS = "BENCH_CELERY"
DURABLE = {"task_acks_late": True, "task_reject_on_worker_lost": True}
WITHIN_S = 120

app = celery.Celery("raw", set_as_current=False)
app.conf.update(broker_connection_retry_on_startup=True, **json.loads(os.environ.get(SETTINGS, "{}")))


@app.task(name="step")  # as `__main__` it would have another name here than in the worker
def step(n: int | None = None) -> int | None:
    """Do one task's work."""
    return work(n)


def canvas(workload: Workload) -> Any:
    """Build one workflow; of the diamonds, one diamond."""

    def many(count: int) -> list[Any]:
        return [step.si(workload.fibonacci) for _ in range(count)]

    match workload.shape:
        case Shape.CHAIN:
            return chain(many(workload.size), app=app)
        case Shape.FRONT:
            return group(many(workload.size), app=app)
        case Shape.FAN:
            return fan(many(workload.size + 2))
        case Shape.DIAMONDS:
            return fan(many(4))


def fan(steps: list[Any]) -> Any:
    """Build the first, then those between side by side, then the last."""
    return chain(steps[0], chord(group(steps[1:-1], app=app), steps[-1], app=app), app=app)


def run(workload: Workload) -> float:
    """Return the seconds from the sending to the last result."""
    flows = [canvas(workload) for _ in range(workload.size if workload.shape is Shape.DIAMONDS else 1)]
    started = time.perf_counter()
    for sent in [flow.apply_async() for flow in flows]:
        sent.get(timeout=WITHIN_S)
    return time.perf_counter() - started


@contextmanager
def start(configuration: protocol.Configuration) -> Iterator[protocol.Run]:
    """Start a worker with two children."""
    settings: dict[str, Any] = {"broker_url": configuration["valkey"], "result_backend": configuration["valkey"]}
    if configuration["variant"] == "durable":
        settings |= DURABLE
    app.conf.update(settings)
    command = [
        *(sys.executable, "-m", "celery", "-A", "benchmarks.peers.celery"),
        *("worker", "-c", "2", "-P", "prefork", "--without-mingle", "--without-gossip"),
    ]
    with protocol.programs(command, **{SETTINGS: json.dumps(settings)}):
        step.delay().get(timeout=60)
        yield run


if __name__ == "__main__":
    protocol.serve(celery.__version__, start)
