"""Prefect: its server on PostgreSQL; flows run in the client's process, their parallel tasks in its threads.

Long tasks run in two processes instead.
"""
# mypy: disable-error-code="import-not-found"

from __future__ import annotations

import os
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

import httpx

from benchmarks.peers import protocol
from benchmarks.workloads import Shape, Workload, work

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

CLIENTS = 8
WORKERS = 2


def flows() -> dict[Shape, Callable[..., Any]]:
    """Make the flows; Prefect reads its settings when it is imported."""
    from prefect import flow, task  # noqa: PLC0415
    from prefect.futures import wait  # noqa: PLC0415
    from prefect.task_runners import ProcessPoolTaskRunner, ThreadPoolTaskRunner  # noqa: PLC0415

    step = task(work)

    @flow(task_runner=ThreadPoolTaskRunner())
    def chain(size: int, n: int | None) -> None:
        for _ in range(size):
            step(n)

    @flow(task_runner=ThreadPoolTaskRunner())
    def fan(size: int, n: int | None) -> None:
        step(n)
        wait(step.map([n] * size))
        step(n)

    @flow(task_runner=ProcessPoolTaskRunner(max_workers=WORKERS))
    def front(size: int, n: int | None) -> None:
        wait(step.map([n] * size))

    return {Shape.CHAIN: chain, Shape.FAN: fan, Shape.FRONT: front}


@contextmanager
def start(configuration: protocol.Configuration) -> Iterator[protocol.Run]:
    """Start the server."""
    port = protocol.free_port()
    address = f"http://127.0.0.1:{port}/api"
    settings = {
        "PREFECT_HOME": configuration["folder"],
        "PREFECT_API_URL": address,
        "PREFECT_API_DATABASE_CONNECTION_URL": configuration["postgres"].replace(
            "postgresql://", "postgresql+asyncpg://"
        ),
        "PREFECT_LOGGING_LEVEL": "ERROR",
        "PREFECT_LOGGING_TO_API_ENABLED": "false",
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "DO_NOT_TRACK": "1",
    }
    os.environ.update(settings)
    command = [sys.executable, "-m", "prefect", "server", "start", "--host", "127.0.0.1", "--port", str(port)]
    with protocol.programs(command):
        protocol.until(lambda: httpx.get(f"{address}/health", timeout=2).is_success, within_s=100)
        shapes = flows()

        def run(workload: Workload) -> float:
            started = time.perf_counter()
            if workload.shape is Shape.DIAMONDS:
                with ThreadPoolExecutor(CLIENTS) as clients:
                    list(clients.map(lambda _: shapes[Shape.FAN](2, workload.fibonacci), range(workload.size)))
            else:
                shapes[workload.shape](workload.size, workload.fibonacci)
            return time.perf_counter() - started

        yield run


if __name__ == "__main__":
    protocol.serve(version("prefect"), start)
