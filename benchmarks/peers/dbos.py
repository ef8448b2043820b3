"""DBOS on PostgreSQL: workflows in the client's own process, or `queue`, enqueued for two worker processes.

A chain's tasks are steps; so are those of a diamond, and in the client's process all parallel ones, awaited together.
On the queue the parallel ones are child workflows, so that both workers share them: there is one queue without a
limit, and one for long tasks, of which a worker takes one at a time.
"""
# mypy: disable-error-code="import-not-found"

from __future__ import annotations

import asyncio
import sys
import threading
import time
from contextlib import contextmanager
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

from dbos import DBOS, DBOSClient

from benchmarks.peers import protocol
from benchmarks.workloads import Shape, Workload, work

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

POLL_S = 0.05
LOOK_S = 0.01
QUEUE, LONG = "bench", "bench-long"
NAME = "bench"


@DBOS.step()
def step(n: int | None) -> int | None:
    """Do one task's work."""
    return work(n)


@DBOS.step()
async def async_step(n: int | None) -> int | None:
    """Do one task's work, in an event loop."""
    return work(n)


@DBOS.workflow()
def chain(size: int, n: int | None) -> None:
    """Run steps one after the other."""
    for _ in range(size):
        step(n)


@DBOS.workflow()
async def fan(size: int, n: int | None) -> None:
    """Run a step, then some side by side, then one."""
    await async_step(n)
    await asyncio.gather(*(async_step(n) for _ in range(size)))
    await async_step(n)


@DBOS.workflow()
async def front(size: int, n: int | None) -> None:
    """Run steps side by side."""
    await asyncio.gather(*(async_step(n) for _ in range(size)))


@DBOS.workflow()
def part(n: int | None) -> int | None:
    """Do one task's work as a workflow, with a step of its own."""
    done: int | None = step(n)
    return done


@DBOS.workflow()
def queued_fan(size: int, n: int | None) -> None:
    """Run a step, then some on the queue, then one."""
    step(n)
    queued_front(size, n)
    step(n)


@DBOS.workflow()
def queued_front(size: int, n: int | None) -> None:
    """Run tasks on the queue."""
    queue = QUEUE if n is None else LONG
    for handle in [DBOS.enqueue_workflow(queue, part, n) for _ in range(size)]:
        handle.get_result(polling_interval_sec=LOOK_S)


LOCAL: dict[Shape, Callable[..., Any]] = {Shape.FAN: fan, Shape.FRONT: front}
QUEUED: dict[Shape, Callable[..., Any]] = {Shape.CHAIN: chain, Shape.FAN: queued_fan, Shape.FRONT: queued_front}


def run_here(workload: Workload) -> float:
    """Return the seconds that it takes in this process."""
    started = time.perf_counter()
    if workload.shape is Shape.CHAIN:
        chain(workload.size, workload.fibonacci)
    elif workload.shape is Shape.DIAMONDS:
        asyncio.run(many_diamonds(workload))
    else:
        asyncio.run(LOCAL[workload.shape](workload.size, workload.fibonacci))
    return time.perf_counter() - started


async def many_diamonds(workload: Workload) -> None:
    """Start them all, and wait for them all."""
    started = [await DBOS.start_workflow_async(fan, 2, workload.fibonacci) for _ in range(workload.size)]
    await asyncio.gather(*(handle.get_result() for handle in started))


@contextmanager
def workers(uri: str) -> Iterator[protocol.Run]:
    """Start two, and run by enqueueing for them."""
    first, second = ([sys.executable, "-m", "benchmarks.peers.dbos", "worker", uri, name] for name in ("1", "2"))
    with protocol.programs(first, second):
        client = DBOSClient(system_database_url=uri, application_name=NAME, lazy=True)

        def run(workload: Workload) -> float:
            many = workload.size if workload.shape is Shape.DIAMONDS else 1
            flow, size = (fan, 2) if workload.shape is Shape.DIAMONDS else (QUEUED[workload.shape], workload.size)
            options = {"queue_name": QUEUE, "workflow_name": flow.__qualname__}
            started = time.perf_counter()
            for handle in [client.enqueue(options, size, workload.fibonacci) for _ in range(many)]:
                handle.get_result(polling_interval_sec=LOOK_S)
            return time.perf_counter() - started

        protocol.until(lambda: run(Workload("", "", Shape.CHAIN, 1)))
        try:
            yield run
        finally:
            client.destroy()


def launch(uri: str, executor: str) -> None:
    """Start DBOS in this process."""
    DBOS(
        config={
            "name": NAME,
            "system_database_url": uri,
            "log_level": "WARNING",
            "application_version": "1",
            "executor_id": executor,
        }
    )
    DBOS.launch()


def serve_queues(uri: str, executor: str) -> None:
    """Work on what is enqueued, until the process ends."""
    launch(uri, executor)
    DBOS.register_queue(QUEUE, polling_interval_sec=POLL_S)
    DBOS.register_queue(LONG, polling_interval_sec=POLL_S, worker_concurrency=1)
    threading.Event().wait()


@contextmanager
def start(configuration: protocol.Configuration) -> Iterator[protocol.Run]:
    """Start DBOS here, or two workers beside."""
    uri = configuration["postgres"]
    if configuration["variant"] == "queue":
        with workers(uri) as run:
            yield run
        return
    launch(uri, "1")
    try:
        yield run_here
    finally:
        DBOS.destroy()


if __name__ == "__main__":
    if sys.argv[1] == "worker":
        serve_queues(*sys.argv[2:4])
    else:
        protocol.serve(version("dbos"), start)
