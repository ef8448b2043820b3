"""The hub of a process: Redis tells it that there are new events, PostgreSQL which, and it adds them to the feeds."""

from __future__ import annotations

import json
import logging
import time
from contextlib import contextmanager
from itertools import groupby
from operator import attrgetter
from threading import Condition, Thread
from typing import TYPE_CHECKING, Any
from uuid import UUID

from redis.exceptions import RedisError

from api.live.feed import Feed
from state_manager.notifications import channel, execution_of
from state_manager.redis import TIMEOUT_S
from state_manager.store import events
from state_manager.store.outages import describe, is_outage

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator
    from threading import Event

    from redis import Redis
    from redis.client import PubSub
    from sqlalchemy import Engine

    from state_manager.progress import Progress

POLL_INTERVAL_S = 0.5
"""Seconds between two reads for all feeds: a notification may be lost, and Redis away."""

SILENT_S = 5.0
"""Seconds without an answer, even to a ping, after which a connection to Redis is given up."""

PAGE = 250
"""Events of one execution that are read at once, each up to some 100 kB; the rest is read next."""

MESSAGES_AT_ONCE = 100
"""Most notifications that are taken before their events are read, however many more there are."""

_log = logging.getLogger(__name__)


class Hub:
    """Keeps the feeds of what is watched up to date, with one connection to Redis and one query at a time.

    Its thread starts with the first watcher, so that a hub made before a fork serves the child.
    """

    def __init__(self, engine: Engine, redis: Redis) -> None:
        self.closing = False
        """Set from a signal's handler, where no lock can be taken: watchers are told at the next poll."""
        self._engine = engine
        self._pubsub: PubSub = redis.pubsub()  # type: ignore[no-untyped-call]
        self._feeds: dict[UUID, Feed] = {}
        self._condition = Condition()
        self._thread: Thread | None = None
        self._redis_away = False
        self._last_message_at = 0.0
        self._next_poll = 0.0

    @contextmanager
    def feed(self, execution_id: UUID, start: Progress, watcher: Event) -> Iterator[Feed]:
        """Open the feed of an execution, a new one at `start`; it sets `watcher` whenever there is something new."""
        with self._condition:
            feed = self._feeds.get(execution_id)
            if feed is None:
                feed = self._feeds[execution_id] = Feed(execution_id, start)
            feed.watchers.add(watcher)
        try:
            with self._condition:
                self._subscribe(channel(execution_id))
                self._wake()
            yield feed
        finally:
            with self._condition:
                feed.watchers.discard(watcher)
                if not feed.watchers:
                    del self._feeds[execution_id]

    def watched(self) -> Collection[UUID]:
        """List the executions that are watched."""
        return tuple(self._feeds)

    def _wake(self) -> None:
        self._condition.notify()
        if self._thread is None:
            thread = Thread(target=self._run, name="hub", daemon=True)
            thread.start()
            self._thread = thread

    def _run(self) -> None:
        behind: Collection[UUID] = ()
        while True:
            with self._condition:
                self._condition.wait_for(lambda: self._feeds or self._pubsub.channels)
            try:
                behind = self._read_new_events(self._wait_for_notifications(at_once=bool(behind)).union(behind))
            except Exception as error:  # noqa: BLE001  (no other thread serves the watchers: the next poll may succeed)
                if is_outage(error):
                    _log.warning("watchers wait, the database does not answer: %s", describe(error))
                else:
                    _log.exception("watchers wait for the next poll")
                behind = ()
                time.sleep(POLL_INTERVAL_S)
            if self.closing:
                for feed in list(self._feeds.values()):
                    feed.wake_watchers()

    def _wait_for_notifications(self, *, at_once: bool) -> set[UUID]:
        """Wait for notifications until the next poll; return the executions that have, or may have, new events."""
        woken: set[UUID] = set()
        wait_s = 0.0 if at_once else max(self._next_poll - time.monotonic(), 0)
        try:
            for _ in range(MESSAGES_AT_ONCE):
                message = self._message(wait_s)
                if message is None:
                    break
                self._last_message_at = time.monotonic()
                woken |= self._handle_message(message)
                wait_s = 0.0
        except (RedisError, OSError) as error:
            self._report_redis_away(error)
            time.sleep(max(self._next_poll - time.monotonic(), 0))
        if time.monotonic() < self._next_poll:
            return woken
        self._next_poll = time.monotonic() + POLL_INTERVAL_S
        self._sync_subscriptions()
        return set(self._feeds)

    def _message(self, wait_s: float) -> dict[str, Any] | None:
        """Wait for a message; one that has begun to arrive is given longer than `wait_s`."""
        connection = self._pubsub.connection
        if not self._pubsub.subscribed or connection is None:
            found: dict[str, Any] | None = self._pubsub.get_message(timeout=wait_s)
        else:
            found = self._pubsub.get_message(timeout=TIMEOUT_S) if connection.can_read(wait_s) else None
        return found

    def _handle_message(self, message: dict[str, Any]) -> set[UUID]:
        if message["type"] not in {"message", "subscribe"}:
            return set()
        execution_id = UUID(execution_of(message["channel"].decode()))
        if message["type"] == "message" and message["data"]:
            feed = self._feeds.get(execution_id)
            if feed is not None:
                feed.add_progress(json.loads(message["data"]))
            return set()
        return {execution_id}

    def _read_new_events(self, woken: Collection[UUID]) -> Collection[UUID]:
        """Read the new events of these executions in one query; return those of which there are more."""
        feeds = {one: feed for one in woken if (feed := self._feeds.get(one)) is not None}
        if not feeds:
            return ()
        rows = events.after(self._engine, {one: feed.seq for one, feed in feeds.items()}, PAGE)
        more = []
        for execution_id, new in groupby(rows, key=attrgetter("execution_id")):
            page = list(new)
            feeds[execution_id].extend(page)
            if len(page) == PAGE:
                more.append(execution_id)
        return more

    def _sync_subscriptions(self) -> None:
        """Subscribe to the channels of the feeds and to no others, on a connection that answers."""
        with self._condition:
            wanted = {channel(one) for one in self._feeds}
            try:
                if self._pubsub.subscribed:
                    if time.monotonic() - self._last_message_at > SILENT_S:
                        self._pubsub.reset()
                    else:
                        self._pubsub.ping()
                known = {name.decode() for name in self._pubsub.channels}
                if known - wanted:
                    self._pubsub.unsubscribe(*(known - wanted))  # type: ignore[no-untyped-call]
                if wanted - known:
                    self._pubsub.subscribe(*(wanted - known))
                self._redis_away = False
            except (RedisError, OSError) as error:
                self._report_redis_away(error)

    def _subscribe(self, name: str) -> None:
        """Subscribe, unless Redis is away: each poll tries again, and no watcher waits for it meanwhile."""
        if self._redis_away or name.encode() in self._pubsub.channels:
            return
        if not self._pubsub.subscribed:
            self._last_message_at = time.monotonic()
        try:
            self._pubsub.subscribe(name)
        except Exception as error:  # noqa: BLE001  (the hub reads on the same connection, and may be giving it up)
            self._report_redis_away(error)

    def _report_redis_away(self, error: Exception) -> None:
        if not self._redis_away:
            _log.warning("Redis is away, watchers are served every %s s: %s", POLL_INTERVAL_S, error)
        self._redis_away = True
