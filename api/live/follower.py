"""One watcher's way through the events of an execution: those that were before the feed's memory, then the feed's."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from api.live.connection import Closed
from api.live.feed import Tally, TooSlow, batch_of
from api.live.hub import PAGE
from state_manager.store import events

if TYPE_CHECKING:
    from uuid import UUID

    from api.live.connection import Connection
    from api.live.feed import Feed
    from api.services import Services

DONE, GOING_AWAY, TOO_SLOW = 1000, 1001, 1013


@dataclass
class Follower:
    """Follows an execution, or one satellite of it, from what is `known` to its last event.

    At `head`, where the execution was when it came, what it watches was `finished`, or else goes on. Up to `head` an
    event that ended it was not the last: a retry came after it.
    """

    here: Services
    connection: Connection
    execution_id: UUID
    satellite_id: str | None
    known: Tally
    head: Tally
    finished: bool

    def follow(self) -> None:
        """Send every event after the known ones; ends by `Closed` or `Gone`."""
        self.known = replace(self.known)
        if self.finished:
            while self.known.seq < self.head.seq:
                self._send_page()
            raise Closed(DONE, "")
        with self.here.hub.feed(self.execution_id, replace(self.head), self.connection.changed) as feed:
            while (cursor := feed.cursor_after(self.known.seq)) is None:
                if self.known.seq < feed.seq:
                    self._send_page()
                else:
                    raise_if_closing(self.here)
                    self.connection.wait()
            while True:
                cursor = self._read_on(feed, cursor)

    def _read_on(self, feed: Feed, cursor: int) -> int:
        raise_if_closing(self.here)
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

    def _send_page(self) -> None:
        """Send the next events from the table."""
        raise_if_closing(self.here)
        entries = self.known.add(events.after(self.here.engine, {self.execution_id: self.known.seq}, PAGE))
        batch = batch_of(entries, satellite_id=self.satellite_id, open_at=self.head.seq)
        del entries  # it may be megabytes, and a slow reader takes its time
        self.connection.send(batch.data)
        if batch.end:
            raise Closed(DONE, "")


def raise_if_closing(here: Services) -> None:
    """Send a watcher away when the server is asked to stop."""
    if here.hub.closing:
        raise Closed(GOING_AWAY, "the server is shutting down")
