"""Memory and processor time of a system's processes."""

from __future__ import annotations

import time
from contextlib import suppress
from typing import TYPE_CHECKING

import psutil

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

MEBIBYTE = 2**20


def tree(pids: Sequence[int]) -> Iterator[psutil.Process]:
    """List these processes and all below them."""
    for pid in pids:
        with suppress(psutil.NoSuchProcess):
            root = psutil.Process(pid)
            yield root
            yield from root.children(recursive=True)


def memory_mib(pids: Sequence[int]) -> float:
    """Add up the proportional set sizes: what is shared counts once."""
    total = 0
    for process in tree(pids):
        with suppress(psutil.NoSuchProcess):
            total += process.memory_full_info().pss
    return total / MEBIBYTE


def cpu_s(pids: Sequence[int]) -> float:
    """Add up the processor's time, that of ended children included."""
    total = 0.0
    for process in tree(pids):
        with suppress(psutil.NoSuchProcess):
            total += sum(process.cpu_times()[:4])
    return total


def idle(pids: Sequence[int], settle_s: float, watch_s: float) -> dict[str, float]:
    """Measure a system that has nothing to do."""
    time.sleep(settle_s)
    before, started = cpu_s(pids), time.perf_counter()
    time.sleep(watch_s)
    percent = 100 * (cpu_s(pids) - before) / (time.perf_counter() - started)
    return {"cpu_percent": percent, "memory_mib": memory_mib(pids), "processes": len(list(tree(pids)))}
