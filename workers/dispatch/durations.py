"""How long satellites usually take, by their kind: so a worker knows what fits its time slice, and one message."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from uuid import UUID

    from state_manager.store.queueing import Unsent

NEWEST_COUNTS = 0.2
"""The weight of the newest satellite in the running mean of its kind."""

SHORTEST_MS = 0.1

BATCHES_A_SLICE = 3
"""A batch, claimed and settled at once, is this part of a slice: outcomes are on record soon, work spreads evenly."""

BATCH_LIMIT = 200
"""Satellites in a batch, however short they are: an execution's row is locked while they are written."""

UNKNOWN_BATCHES = 64
"""A front of kinds that nobody here has run yet goes in so many messages at least."""


class UsualDurations:
    """What one process has seen of each kind of satellite.

    The mean is geometric: among a hundred satellites of a millisecond, one of two seconds does not make its kind a
    long one. What waits behind that one is given to others (`slice_watchdog`).
    """

    def __init__(self, slice_ms: float) -> None:
        self.batch_ms = slice_ms / BATCHES_A_SLICE
        self._means_ms: dict[str, float] = {}

    def record(self, kind: str, took_ms: float) -> None:
        """Learn from a satellite of this kind that took so long."""
        took_ms = max(took_ms, SHORTEST_MS)
        mean_ms = self._means_ms.get(kind, took_ms)
        self._means_ms[kind] = mean_ms * (took_ms / mean_ms) ** NEWEST_COUNTS

    def short(self) -> dict[str, float]:
        """Return the usual milliseconds of the kinds of which a batch can hold one at least."""
        return {kind: mean_ms for kind, mean_ms in self._means_ms.items() if mean_ms <= self.batch_ms}

    def batches(self, ready: Sequence[Unsent]) -> Iterator[list[Unsent]]:
        """Split satellites into those to be sent in one message: of one execution and queue, and long ones alone."""
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
