"""Usual durations of satellites by type, from which a worker knows what fits its time slice, or one message."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from uuid import UUID

    from state_manager.store.queueing import Unsent

NEWEST_COUNTS = 0.2
"""Weight of the newest satellite in the running mean of its type."""

SHORTEST_MS = 0.1

BATCHES_A_SLICE = 3
"""Batches that fit a slice: with several, outcomes are recorded sooner and work spreads more evenly."""

BATCH_LIMIT = 200
"""Most satellites in a batch, however short they are: the execution's row is locked while they are written."""

UNKNOWN_BATCHES = 64
"""Fewest messages for a front of types that this process has not run yet."""


class UsualDurations:
    """The running mean of each satellite type's duration, as one process has seen it.

    The mean is geometric: among a hundred satellites of a millisecond, one of two seconds does not make its type a
    long one. Those behind that one are released to others (`slice_watchdog`).
    """

    def __init__(self, slice_ms: float) -> None:
        self.batch_ms = slice_ms / BATCHES_A_SLICE
        self._means_ms: dict[str, float] = {}

    def record(self, identifier: str, took_ms: float) -> None:
        """Add the duration of one satellite to the mean of its type."""
        took_ms = max(took_ms, SHORTEST_MS)
        mean_ms = self._means_ms.get(identifier, took_ms)
        self._means_ms[identifier] = mean_ms * (took_ms / mean_ms) ** NEWEST_COUNTS

    def short(self) -> dict[str, float]:
        """Return the usual milliseconds of the types of which a batch can hold at least one."""
        return {identifier: mean_ms for identifier, mean_ms in self._means_ms.items() if mean_ms <= self.batch_ms}

    def batches(self, ready: Sequence[Unsent]) -> Iterator[list[Unsent]]:
        """Divide satellites into messages: each of one execution and one queue, and long ones alone."""
        unknown_ms = self.batch_ms / max(min(len(ready) // UNKNOWN_BATCHES, BATCH_LIMIT), 1)
        batch: list[Unsent] = []
        sum_ms = 0.0
        for one in sorted(ready, key=_destination):
            took_ms = self.batch_ms if one.alone else self._means_ms.get(one.identifier, unknown_ms)
            full = sum_ms >= self.batch_ms or sum_ms + took_ms > self.batch_ms or len(batch) >= BATCH_LIMIT
            if batch and (full or _destination(one) != _destination(batch[0])):
                yield batch
                batch, sum_ms = [], 0.0
            batch.append(one)
            sum_ms += took_ms
        if batch:
            yield batch


def _destination(one: Unsent) -> tuple[UUID, str]:
    return one.execution_id, one.queue
