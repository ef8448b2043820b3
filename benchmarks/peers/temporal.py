"""Temporal: its dev server on an SQLite file, and two worker processes.

A task is an activity that the server hands to either worker; with `local` it is a local activity, run where its
workflow runs and recorded with the workflow's next task, not by itself.
"""
# mypy: disable-error-code="import-not-found"

from __future__ import annotations

import asyncio
import sys
import time
import uuid
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import timedelta
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from temporalio import activity, workflow
from temporalio.client import Client
from temporalio.worker import UnsandboxedWorkflowRunner, Worker

from benchmarks.peers import protocol
from benchmarks.workloads import Shape, Workload, work

if TYPE_CHECKING:
    from collections.abc import Iterator

SERVER = str(Path(sys.executable).with_name("temporal"))
QUEUE = "bench"
WORKERS = 2
WITHIN = timedelta(seconds=120)
THREADS = 20
POLLERS = 10
DYNAMIC = {
    # As it comes, the server looks into its own queue 20 times a second at most: a chain would wait 50 ms a link.
    "history.transferProcessorMaxPollRPS": 10_000,
    "matching.numTaskqueueReadPartitions": 1,
    "matching.numTaskqueueWritePartitions": 1,
}
"""Settings that are faster on this machine than the defaults, tried one by one; more pollers or timers were slower."""


@activity.defn
def step(n: int | None) -> int | None:
    """Do one task's work."""
    return work(n)


@workflow.defn(sandboxed=False)
class Flow:
    """All the shapes: tasks after each other, or one, some side by side, and one."""

    @workflow.run
    async def run(self, shape: str, size: int, n: int | None, local: bool) -> None:
        """Do the tasks of one workflow."""
        if shape == Shape.CHAIN:
            for _ in range(size):
                await task(n, local=local)
            return
        ends = 0 if shape == Shape.FRONT else 1
        for width in (ends, size, ends):
            await asyncio.gather(*(task(n, local=local) for _ in range(width)))


def task(n: int | None, *, local: bool) -> Any:
    """Begin a task."""
    if local:
        return workflow.start_local_activity(step, n, start_to_close_timeout=WITHIN)
    return workflow.start_activity(step, n, start_to_close_timeout=WITHIN)


async def submit_all(client: Client, workload: Workload, *, local: bool) -> float:
    """Return the seconds that it takes."""
    many = workload.size if workload.shape is Shape.DIAMONDS else 1
    shape, size = (Shape.FAN, 2) if workload.shape is Shape.DIAMONDS else (workload.shape, workload.size)

    async def submit() -> None:
        order = [str(shape), size, workload.fibonacci, local]
        await client.execute_workflow(Flow.run, args=order, id=str(uuid.uuid4()), task_queue=QUEUE)

    started = time.perf_counter()
    await asyncio.gather(*(submit() for _ in range(many)))
    return time.perf_counter() - started


async def serve_queue(address: str) -> None:
    """Work on what the server hands out, until the process ends."""
    client = await Client.connect(address)
    with ThreadPoolExecutor(THREADS) as threads:
        await Worker(
            client,
            task_queue=QUEUE,
            workflows=[Flow],
            activities=[step],
            activity_executor=threads,
            workflow_runner=UnsandboxedWorkflowRunner(),
            max_concurrent_activities=THREADS,
            max_concurrent_activity_task_polls=POLLERS,
            max_concurrent_workflow_task_polls=POLLERS,
        ).run()


@contextmanager
def start(configuration: protocol.Configuration) -> Iterator[protocol.Run]:
    """Start the server and two workers."""
    port = protocol.free_port()
    address = f"127.0.0.1:{port}"
    server = [
        SERVER,
        *("server", "start-dev", "--headless", "--port", str(port), "--log-level", "error"),
        *("--db-filename", str(Path(configuration["folder"]) / "temporal.db")),
        *(word for name, value in DYNAMIC.items() for word in ("--dynamic-config-value", f"{name}={value}")),
    ]
    worker = [sys.executable, "-m", "benchmarks.peers.temporal", "worker", address]
    local = configuration["variant"] == "local"
    with asyncio.Runner() as runner, protocol.programs(server):
        protocol.until(lambda: runner.run(Client.connect(address)))
        client = runner.run(Client.connect(address))

        def run(workload: Workload) -> float:
            return runner.run(submit_all(client, workload, local=local))

        with protocol.programs(*[worker] * WORKERS):
            run(Workload("", "", Shape.CHAIN, 1))
            yield run


if __name__ == "__main__":
    if sys.argv[1] == "worker":
        asyncio.run(serve_queue(sys.argv[2]))
    else:
        server = protocol.version_of(SERVER, r"Server (\d[\w.]*)")
        protocol.serve(f"server {server}, SDK {version('temporalio')}", start)
