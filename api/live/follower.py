"""A follower of an execution for one watcher: reads the events table first, then the feed."""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import inf
from typing import TYPE_CHECKING

from api.live.connection import Closed
from api.live.entries import batch_of, event_entries
from api.live.feed import TooSlow
from api.live.hub import PAGE
from state_manager.store import events

if TYPE_CHECKING:
    from uuid import UUID

    from sqlalchemy import Engine

    from api.live.connection import Connection
    from api.live.feed import Feed
    from api.live.hub import Hub
    from state_manager.progress import Progress

DONE, GOING_AWAY, TOO_SLOW = 1000, 1001, 1013


@dataclass
class Follower:
    """Follows an execution, or one satellite of it, from the event after `position` to its last.

    At `head`, where the execution was when the watcher came, it was `finished` or else still open. Where it was
    open, no event up to `head` was its last: a retry came after it.
    """

    engine: Engine
    hub: Hub
    connection: Connection
    execution_id: UUID
    satellite_id: str | None
    position: Progress
    head: Progress
    finished: bool

    def follow(self) -> None:
        """Send every event after `position`; ends by `Closed` or `Gone`."""
        self.position = replace(self.position)
        if self.finished:
            while self.position.seq < self.head.seq:
                self._send_page(until=self.head.seq)
            raise Closed(DONE, "")
        with self.hub.feed(self.execution_id, replace(self.head), self.connection.changed) as feed:
            cursor = self._catch_up(feed)
            while True:
                cursor = self._read_on(feed, cursor)

    def _catch_up(self, feed: Feed) -> int:
        """Send pages until the feed has what follows; return the cursor at which that is."""
        while (cursor := feed.cursor_after(self.position.seq)) is None:
            if self.position.seq < feed.seq:
                self._send_page()
            else:
                raise_if_closing(self.hub)
                self.connection.wait()
        return cursor

    def _read_on(self, feed: Feed, cursor: int) -> int:
        raise_if_closing(self.hub)
        try:
            batch = feed.read(cursor, self.satellite_id)
        except TooSlow:
            raise Closed(TOO_SLOW, "too slow a reader: resume with ?since=SEQ") from None
        if batch is None:
            self.connection.wait()
            return cursor
        self.connection.send(batch.data)
        if batch.end > self.head.seq:
            raise Closed(DONE, "")
        return batch.cursor

    def _send_page(self, until: float = inf) -> None:
        """Send the next events from the table, those up to the seq `until`."""
        raise_if_closing(self.hub)
        rows = events.after(self.engine, {self.execution_id: self.position.seq}, PAGE)
        # A retry may have come meanwhile: its events would be the last that is seen of what is finished.
        rows = [row for row in rows if row.seq <= until]
        entries = event_entries(rows, self.position)
        batch = batch_of(entries, satellite_id=self.satellite_id, open_at=self.head.seq)
        del rows, entries  # they may be megabytes, and a slow reader takes its time
        self.connection.send(batch.data)
        if batch.end:
            raise Closed(DONE, "")


def raise_if_closing(hub: Hub) -> None:
    """Raise Closed when the server is asked to stop."""
    if hub.closing:
        raise Closed(GOING_AWAY, "the server is shutting down")
