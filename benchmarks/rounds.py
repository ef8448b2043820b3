"""The rounds of a benchmark: in each, every peer starts from nothing, warms up, and runs every workload once.

So a change of the machine's speed affects all, none disturbs another, and the order is reversed each time.
"""

from __future__ import annotations

import sys
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from benchmarks import processes
from benchmarks.environments import CannotInstall

if TYPE_CHECKING:
    from collections.abc import Sequence

    from benchmarks.catalogue import Peer, Running
    from benchmarks.workloads import Workload

SETTLE_S, WATCH_S = 3.0, 10.0


@dataclass(slots=True)
class Record:
    """The results of one peer; `missing` says why it has none, `failures` why a workload has none."""

    version: str = ""
    missing: str = ""
    start_s: list[float] = field(default_factory=list)
    idle: dict[str, float] = field(default_factory=dict)
    seconds: dict[str, list[float]] = field(default_factory=dict)
    failures: dict[str, str] = field(default_factory=dict)


def run(peers: Sequence[Peer], workloads: Sequence[Workload], runs: int, *, watch_idle: bool) -> dict[str, Record]:
    """Run them all, and return the records by the peers' names."""
    records = {peer.name: Record() for peer in peers}
    for peer in peers:
        try:
            peer.install()
        except CannotInstall as reason:
            records[peer.name].missing = f"cannot be installed: {reason}"
            _tell(f"{peer.title} {records[peer.name].missing}")
    for turn in range(runs):
        for peer in peers if turn % 2 == 0 else reversed(peers):
            record = records[peer.name]
            if not record.missing:
                _tell(f"round {turn + 1} of {runs}: {peer.title}")
                try:
                    _one_round(peer, record, workloads, watch_idle=watch_idle and turn == 0)
                except Exception as reason:  # noqa: BLE001  (one peer's trouble is no other's)
                    record.missing = f"{type(reason).__name__}: {reason}"
                    _tell(f"  {record.missing}")
    return records


def _one_round(peer: Peer, record: Record, workloads: Sequence[Workload], *, watch_idle: bool) -> None:
    todo = [one for one in workloads if peer.takes(one) and one.name not in record.failures]
    while todo:
        started = time.perf_counter()
        with peer.start() as running:
            record.start_s.append(time.perf_counter() - started)
            record.version = running.version
            if watch_idle and not record.idle:
                record.idle = processes.idle(running.pids, SETTLE_S, WATCH_S)
            # After a failure it starts from nothing again: nobody knows what it is still at.
            while todo and _one_run(running, record, todo.pop(0)):
                pass


def _one_run(running: Running, record: Record, workload: Workload) -> bool:
    try:
        running.run(workload.warm_up())
        seconds = running.run(workload)
    except Exception as reason:  # noqa: BLE001  (the other workloads may go well)
        record.failures[workload.name] = f"{type(reason).__name__}: {reason}"
        _tell(f"  {workload.title}: {record.failures[workload.name]}")
        return False
    record.seconds.setdefault(workload.name, []).append(seconds)
    _tell(f"  {workload.title}: {seconds:.3f} s")
    return True


def as_json(records: dict[str, Record]) -> dict[str, Any]:
    """Write the records as values of JSON."""
    return {name: {key: getattr(one, key) for key in Record.__slots__} for name, one in records.items()}


def _tell(line: str) -> None:
    print(line, file=sys.stderr, flush=True)
