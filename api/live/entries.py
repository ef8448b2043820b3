"""Entries of a feed, events and progress messages as JSON, and the batches in which a watcher gets them."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import groupby
from typing import TYPE_CHECKING, Any

from api.live import frames
from api.resources import events
from state_manager.states import FINISHED, TERMINAL

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from state_manager.progress import Progress
    from state_manager.store.events import Event


@dataclass(frozen=True, slots=True)
class Entry:
    """An event, or a satellite's own progress message between two events; `seq` is that of the event before."""

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


def event_entries(rows: Iterable[Event], progress: Progress) -> list[Entry]:
    """Encode the next events of an execution with the percentage at each, and advance `progress` by them."""
    return [_event_entry(row, progress) for row in rows]


def _event_entry(row: Event, progress: Progress) -> Entry:
    progress.advance(row)
    event = {"type": "event", **events.present(row), "progress": progress.percent}
    return Entry(progress.seq, event["satellite_id"], event["status"], True, frames.encode(event))


def progress_entry(message: Mapping[str, Any], seq: int) -> Entry:
    """Encode a satellite's own progress message, which came after the event numbered `seq`."""
    return Entry(seq, message["satellite_id"], "", False, frames.encode(message))


@dataclass(frozen=True, slots=True)
class Batch:
    """The frames that a watcher is sent next, and the cursor from which it reads on.

    It ends with the first event that ends what is watched, whose seq is `end`; a retry may follow. Else `end` is 0.
    """

    data: bytes
    cursor: int
    end: int


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
            return Batch(_framed(wanted), cursor, entry.seq)
    return Batch(_framed(wanted), cursor, 0)


def _framed(entries: Iterable[Entry]) -> bytes:
    """Frame entries: events that follow each other share a frame, a progress message has its own."""
    framed: list[bytes] = []
    for is_event, run in groupby(entries, key=lambda entry: entry.is_event):
        bodies = (entry.body for entry in run)
        framed += frames.of_events(bodies) if is_event else map(frames.text, bodies)
    return b"".join(framed)
