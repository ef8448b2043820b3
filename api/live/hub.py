"""One hub a process: learns from Redis that something happened, reads what from PostgreSQL, hands it to the feeds."""

from __future__ import annotations

import json
import logging
import time
from contextlib import contextmanager
from itertools import groupby
from operator import itemgetter
from threading import Condition, Thread
from typing import TYPE_CHECKING, Any
from uuid import UUID

from redis.exceptions import RedisError

from api.live.feed import Feed, Tally
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

LOOK_EVERY_S = 0.5
"""So often every feed looks by itself: a notice may be lost, and Redis away."""

SILENT_S = 5.0
"""A connection to Redis that did not even answer a ping for so long is given up."""

PAGE = 250
"""So many events of an execution are read at once, each up to some 100 kB; what is left is read next."""

MESSAGES_AT_ONCE = 100
"""So many notices are taken before what they speak of is read, however many more there are."""

_log = logging.getLogger(__name__)


class Hub:
    """Keeps the feeds of what is watched up to date, with one connection to Redis and one query at a time.

    Its thread starts with the first watcher, so that a hub made before a fork serves the child.
    """

    def __init__(self, engine: Engine, redis: Redis) -> None:
        self.closing = False
        """Set from a signal's handler, where no lock can be taken: watchers are told at the next look."""
        self._engine = engine
        self._pubsub: PubSub = redis.pubsub()  # type: ignore[no-untyped-call]
        self._feeds: dict[UUID, Feed] = {}
        self._watched = Condition()
        self._thread: Thread | None = None
        self._redis_away = False
        self._heard_at = 0.0
        self._next_look = 0.0

    @contextmanager
    def feed(self, execution_id: UUID, start: Tally, watcher: Event) -> Iterator[Feed]:
        """Have a feed of an execution, and the watcher set whenever there is something new; it begins at `start`."""
        with self._watched:
            feed = self._feeds.get(execution_id)
            if feed is None:
                feed = self._feeds[execution_id] = Feed(execution_id, start)
            feed.watchers.add(watcher)
        try:
            with self._watched:
                self._subscribe(channel(execution_id))
                self._wake()
            yield feed
        finally:
            with self._watched:
                feed.watchers.discard(watcher)
                if not feed.watchers:
                    del self._feeds[execution_id]

    def _wake(self) -> None:
        self._watched.notify()
        if self._thread is None:
            thread = Thread(target=self._run, name="hub", daemon=True)
            thread.start()
            self._thread = thread

    def _run(self) -> None:
        behind: Collection[UUID] = ()
        while True:
            with self._watched:
                self._watched.wait_for(lambda: self._feeds or self._pubsub.channels)
            try:
                behind = self._catch_up(self._listen(at_once=bool(behind)).union(behind))
            except Exception as error:  # noqa: BLE001  (nobody else looks after the watchers: the next look may succeed)
                if is_outage(error):
                    _log.warning("watchers wait, the database does not answer: %s", describe(error))
                else:
                    _log.exception("watchers wait for the next look")
                behind = ()
                time.sleep(LOOK_EVERY_S)
            if self.closing:
                for feed in list(self._feeds.values()):
                    feed.wake()

    def _listen(self, *, at_once: bool) -> set[UUID]:
        """Wait for notices until the next look; return which executions have something new, or may have."""
        woken: set[UUID] = set()
        wait_s = 0.0 if at_once else max(self._next_look - time.monotonic(), 0)
        try:
            for _ in range(MESSAGES_AT_ONCE):
                message = self._message(wait_s)
                if message is None:
                    break
                self._heard_at = time.monotonic()
                woken |= self._understand(message)
                wait_s = 0.0
        except (RedisError, OSError) as error:
            self._note_that_redis_is_away(error)
            time.sleep(max(self._next_look - time.monotonic(), 0))
        if time.monotonic() < self._next_look:
            return woken
        self._next_look = time.monotonic() + LOOK_EVERY_S
        self._look_after_redis()
        return set(self._feeds)

    def _message(self, wait_s: float) -> dict[str, Any] | None:
        """Wait for a message; one that has begun to come is given more time than none."""
        connection = self._pubsub.connection
        if not self._pubsub.subscribed or connection is None:
            found: dict[str, Any] | None = self._pubsub.get_message(timeout=wait_s)
        else:
            found = self._pubsub.get_message(timeout=TIMEOUT_S) if connection.can_read(wait_s) else None
        return found

    def _understand(self, message: dict[str, Any]) -> set[UUID]:
        if message["type"] not in {"message", "subscribe"}:
            return set()
        execution_id = UUID(execution_of(message["channel"].decode()))
        if message["type"] == "message" and message["data"]:
            feed = self._feeds.get(execution_id)
            if feed is not None:
                feed.pass_on(json.loads(message["data"]))
            return set()
        return {execution_id}

    def _catch_up(self, woken: Collection[UUID]) -> Collection[UUID]:
        """Read what is new, all of it in one query; return the executions of which there is more."""
        feeds = {one: feed for one in woken if (feed := self._feeds.get(one)) is not None}
        if not feeds:
            return ()
        rows = events.after(self._engine, {one: feed.seq for one, feed in feeds.items()}, PAGE)
        more = []
        for execution_id, new in groupby(rows, key=itemgetter("execution_id")):
            page = list(new)
            feeds[execution_id].extend(page)
            if len(page) == PAGE:
                more.append(execution_id)
        return more

    def _look_after_redis(self) -> None:
        """Make the subscriptions those of the feeds, on a connection that responses."""
        with self._watched:
            wanted = {channel(one) for one in self._feeds}
            try:
                if self._pubsub.subscribed:
                    if time.monotonic() - self._heard_at > SILENT_S:
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
                self._note_that_redis_is_away(error)

    def _subscribe(self, name: str) -> None:
        """Subscribe, unless Redis is away: that is tried again at each look, and nobody waits for it meanwhile."""
        if self._redis_away or name.encode() in self._pubsub.channels:
            return
        if not self._pubsub.subscribed:
            self._heard_at = time.monotonic()
        try:
            self._pubsub.subscribe(name)
        except Exception as error:  # noqa: BLE001  (the hub reads on the same connection, and may be giving it up)
            self._note_that_redis_is_away(error)

    def _note_that_redis_is_away(self, error: Exception) -> None:
        if not self._redis_away:
            _log.warning("Redis is away, watchers are served every %s s: %s", LOOK_EVERY_S, error)
        self._redis_away = True
