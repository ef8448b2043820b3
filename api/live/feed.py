"""What happened lately in one execution that is watched, encoded once for all its watchers."""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass
from threading import Lock
from typing import TYPE_CHECKING, Any

from api import serialisers
from api.live import frames
from state_manager.states import FINISHED, TERMINAL

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from threading import Event
    from uuid import UUID

KEPT_ENTRIES = 10_000
KEPT_BYTES = 4 * 1024 * 1024
"""So much is kept for watchers who fall behind; who falls behind further is too slow."""

AT_ONCE = 1_000
"""So many entries a watcher is given at once."""


class TooSlow(Exception):
    """A watcher has fallen behind what is kept for it."""


@dataclass(frozen=True, slots=True)
class Entry:
    """An event, or between two events what a satellite said of its progress; `seq` is that of the event before."""

    seq: int
    satellite_id: str | None
    status: str
    is_event: bool
    body: bytes

    def ends(self, satellite_id: str | None) -> bool:
        """Tell whether this is, but for a retry, the last event of a satellite, or of the execution and all in it."""
        if not self.is_event:
            return False
        if self.satellite_id is None:
            return self.status in FINISHED
        return self.satellite_id == satellite_id and self.status in TERMINAL


@dataclass(slots=True)
class Tally:
    """How far an execution is after one of its events: its `seq`, and how many of its satellites have ended by then."""

    seq: int
    ended: int
    total: int

    def add(self, rows: Sequence[Mapping[Any, Any]]) -> list[Entry]:
        """Count the next events, and encode them with the percentage that each of them comes to."""
        return [self._entry(row) for row in rows]

    def _entry(self, row: Mapping[Any, Any]) -> Entry:
        self.seq = row["seq"]
        if row["satellite_id"] is not None:
            self.ended += (row["kind"] in TERMINAL) - (row["kind"] == "retried")
        progress = serialisers.percent(self.ended, self.total)
        event = {"type": "event", **serialisers.event(row), "progress": progress}
        return Entry(self.seq, event["satellite_id"], event["status"], True, frames.encode(event))


@dataclass(frozen=True, slots=True)
class Batch:
    """What a watcher is to be sent, and where it goes on from.

    It ends with the first event that ends what is watched, whose seq is `end`; a retry may follow. Else `end` is 0.
    """

    data: bytes
    cursor: int
    end: int


class Feed:
    """The latest entries of one execution, to which the hub adds and from which its watchers read, each at a cursor.

    A cursor counts entries since the feed began. What watchers have is never more than this one list holds.
    """

    def __init__(self, execution_id: UUID, start: Tally) -> None:
        self.execution_id = execution_id
        self.watchers: set[Event] = set()
        self._tally = start
        self._entries: list[Entry] = []
        self._bytes = 0
        self._dropped = 0
        self._dropped_seq = start.seq
        self._lock = Lock()
        self._framed: tuple[int, Batch] | None = None

    @property
    def seq(self) -> int:
        """The last event that the feed has."""
        return self._tally.seq

    def extend(self, rows: Sequence[Mapping[Any, Any]]) -> None:
        """Add events, the next after `seq` and without a gap."""
        with self._lock:
            self._append(self._tally.add(rows))
        self.wake()

    def pass_on(self, said: Mapping[str, Any]) -> None:
        """Add what a satellite said of its progress."""
        with self._lock:
            self._append([Entry(self.seq, said["satellite_id"], "", False, frames.encode(said))])
        self.wake()

    def cursor_after(self, seq: int) -> int | None:
        """Find where to read on for whoever has all events up to `seq`.

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
            entries = self._entries[first : first + AT_ONCE]
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

    def wake(self) -> None:
        """Have the watchers read on."""
        for watcher in list(self.watchers):
            watcher.set()

    def _append(self, entries: Sequence[Entry]) -> None:
        """Add entries, and drop the oldest where that is too much; what is new everybody has a chance to read."""
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


def batch_of(entries: Sequence[Entry], cursor: int = 0, satellite_id: str | None = None, *, open_at: int = 0) -> Batch:
    """Frame entries, all of them or what concerns one satellite, up to the first that ends what is watched.

    What was still open at the seq `open_at` was ended by none of the events up to that.
    """
    wanted = []
    for entry in entries:
        cursor += 1
        if satellite_id in {None, entry.satellite_id}:
            wanted.append(entry)
        if entry.seq > open_at and entry.ends(satellite_id):
            return Batch(frames.of(wanted), cursor, entry.seq)
    return Batch(frames.of(wanted), cursor, 0)
