"""The latest events of one watched execution, encoded once for all its watchers."""

from __future__ import annotations

from bisect import bisect_right
from threading import Lock
from typing import TYPE_CHECKING, Any

from api.live.entries import Batch, Entry, batch_of, event_entries, progress_entry

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from threading import Event
    from uuid import UUID

    from state_manager.progress import Progress
    from state_manager.store import events

KEPT_ENTRIES = 10_000
KEPT_BYTES = 4 * 1024 * 1024
"""Limits of the entries kept for slow watchers; a watcher that falls behind further is disconnected."""

BATCH_ENTRIES = 1_000
"""Largest number of entries that a watcher is given at once."""


class TooSlow(Exception):
    """A watcher has fallen behind what is kept for it."""


class Feed:
    """The latest entries of one execution, to which the hub adds and from which its watchers read, each at a cursor.

    A cursor counts entries since the feed began. All watchers share this one list, however many they are.
    """

    def __init__(self, execution_id: UUID, start: Progress) -> None:
        self.execution_id = execution_id
        self.watchers: set[Event] = set()
        self._progress = start
        self._entries: list[Entry] = []
        self._bytes = 0
        self._dropped = 0
        self._dropped_seq = start.seq
        self._lock = Lock()
        self._framed: tuple[int, Batch] | None = None

    @property
    def seq(self) -> int:
        """The last event that the feed has."""
        return self._progress.seq

    def extend(self, rows: Sequence[events.Event]) -> None:
        """Add events, the next after `seq` and without a gap."""
        with self._lock:
            self._append(event_entries(rows, self._progress))
        self.wake_watchers()

    def add_progress(self, message: Mapping[str, Any]) -> None:
        """Add a satellite's own progress message."""
        with self._lock:
            self._append([progress_entry(message, self.seq)])
        self.wake_watchers()

    def cursor_after(self, seq: int) -> int | None:
        """Find the cursor of a watcher that has all events up to `seq`.

        None where what follows is not kept any more, and where the feed itself has not come that far.
        """
        with self._lock:
            if not self._dropped_seq <= seq <= self.seq:
                return None
            return self._dropped + bisect_right(self._entries, seq, key=lambda entry: entry.seq)

    def read(self, cursor: int, satellite_id: str | None = None) -> Batch | None:
        """Read on, all of it or what concerns one satellite; None where there is nothing new. Raises `TooSlow`."""
        with self._lock:
            if cursor < self._dropped:
                raise TooSlow
            first = cursor - self._dropped
            entries = self._entries[first : first + BATCH_ENTRIES]
            if not entries:
                return None
            if satellite_id is None and self._framed is not None and self._framed[0] == cursor:
                batch = self._framed[1]
                if batch.end or batch.cursor == cursor + len(entries):
                    return batch
        batch = batch_of(entries, cursor, satellite_id)
        if satellite_id is None:
            self._framed = (cursor, batch)
        return batch

    def wake_watchers(self) -> None:
        """Wake every watcher, which then reads on."""
        for watcher in list(self.watchers):
            watcher.set()

    def _append(self, entries: Sequence[Entry]) -> None:
        """Add entries, and drop the oldest above the limits, but none of those just added."""
        before = len(self._entries)
        self._entries += entries
        self._bytes += sum(len(entry.body) for entry in entries)
        excess = 0
        while excess < before and (len(self._entries) - excess > KEPT_ENTRIES or self._bytes > KEPT_BYTES):
            self._bytes -= len(self._entries[excess].body)
            excess += 1
        if excess:
            self._dropped_seq = self._entries[excess - 1].seq
        del self._entries[:excess]
        self._dropped += excess
