"""A WebSocket client for tests, which reads one frame at a time."""

from __future__ import annotations

import json
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Protocol

from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

if TYPE_CHECKING:
    from collections.abc import Iterator

    from websockets.sync.client import ClientConnection

WITHIN_S = 20.0


class Listening(Protocol):
    """An API on a port: a whole system's, or one that is served by the test itself."""

    @property
    def port(self) -> int:
        """Its port."""


class Watch:
    """One client: its snapshot, the messages since, and the close code."""

    def __init__(self, connection: ClientConnection) -> None:
        self.connection = connection
        self.snapshot: dict[str, Any] | None = None
        self.events: list[dict[str, Any]] = []
        self.progress: list[dict[str, Any]] = []
        self.closed: tuple[int | None, str | None] | None = None

    @property
    def seqs(self) -> list[int]:
        """The sequence numbers of the events, as they came."""
        return [one["seq"] for one in self.events]

    def next(self) -> bool:
        """Take the next frame; tell whether there was one before the end."""
        try:
            self._take(json.loads(self.connection.recv(timeout=WITHIN_S)))
        except ConnectionClosed:
            self.closed = (self.connection.close_code, self.connection.close_reason)
            return False
        return True

    def to_the_end(self) -> Watch:
        """Take all that comes until the connection is closed."""
        while self.next():
            pass
        return self

    def _take(self, message: dict[str, Any]) -> None:
        match message["type"]:
            case "snapshot":
                assert self.snapshot is None
                assert not self.events
                self.snapshot = message
            case "event":
                self.events.append(message)
            case "events":
                assert len(message["events"]) > 1
                self.events += message["events"]
            case "progress":
                assert "seq" not in message
                self.progress.append(message)
            case other:
                raise AssertionError(other)


@contextmanager
def watching(api: Listening, path: str, port: int | None = None) -> Iterator[Watch]:
    """Watch a path of this API; the snapshot is there at the beginning unless the path has `since`."""
    with connect(f"ws://127.0.0.1:{port or api.port}{path}", max_size=None) as connection:
        watch = Watch(connection)
        if "since" not in path:
            watch.next()
        yield watch


def watched(api: Listening, path: str) -> Watch:
    """Watch to the end."""
    with watching(api, path) as watch:
        return watch if watch.closed else watch.to_the_end()
