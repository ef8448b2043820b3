"""No orchestrator: a process pool of two, whose time is the lower bound for workloads that only use the processor."""

from __future__ import annotations

import platform
import time
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from typing import TYPE_CHECKING

from benchmarks.peers import protocol
from benchmarks.workloads import Workload, work

if TYPE_CHECKING:
    from collections.abc import Iterator


@contextmanager
def start(_: protocol.Configuration) -> Iterator[protocol.Run]:
    """Serve with a pool of two processes, which the warm-up starts."""
    with ProcessPoolExecutor(2) as pool:

        def run(workload: Workload) -> float:
            started = time.perf_counter()
            list(pool.map(work, [workload.fibonacci] * workload.size))
            return time.perf_counter() - started

        yield run


if __name__ == "__main__":
    protocol.serve(f"Python {platform.python_version()}", start)
