"""Notifications over Redis for watchers: an execution has new events, or a satellite has reported progress.

A notification of events is only a wake-up: the events are in PostgreSQL. One that is lost, or not sent because Redis
is away, costs a watcher half a second, until it looks by itself.
"""

from __future__ import annotations

import json
import logging
import time
from threading import Condition, Event, Thread
from typing import TYPE_CHECKING, Any

from redis.exceptions import RedisError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from uuid import UUID

    from redis import Redis

EVENTS_EVERY_S = 0.005
"""Interval within which the changes of an execution share one notification; its end does not wait for that."""

PROGRESS_EVERY_S = 0.1
"""Interval at which the latest progress of each satellite is sent."""

_PREFIX = "exosphere:execution:"
_log = logging.getLogger(__name__)


def channel(execution_id: UUID) -> str:
    """Return the Redis channel of an execution. An empty message announces events, any other one is a progress."""
    return f"{_PREFIX}{execution_id}"


def execution_of(name: str) -> str:
    """Return the execution's id from the name of its channel."""
    return name.removeprefix(_PREFIX)


class Notifier:
    """Sends notifications from a thread of its own, so that a Redis that hangs delays no satellite, many in one trip.

    `redis` needs timeouts. The thread starts with the first notification, so that a notifier may be created before a
    fork and used in the child.
    """

    def __init__(self, redis: Redis) -> None:
        self._redis = redis
        self._changed: set[UUID] = set()
        self._progress: dict[UUID, tuple[UUID, Mapping[str, Any]]] = {}
        self._progress_due = 0.0
        self._condition = Condition()
        self._at_once = Event()
        self._thread: Thread | None = None

    def notify_watchers(self, execution_id: UUID, *, ended: bool = False) -> None:
        """Announce new events of an execution, which are committed; `ended` where its last is among them."""
        with self._condition:
            self._changed.add(execution_id)
            self._wake()
        if ended:
            self._at_once.set()

    def publish_progress(self, execution_id: UUID, satellite_id: UUID, said: Mapping[str, Any]) -> None:
        """Send the progress of a satellite; it replaces an earlier one that is not sent yet."""
        with self._condition:
            self._progress[satellite_id] = (execution_id, said)
            self._wake()

    def _wake(self) -> None:
        self._condition.notify()
        if self._thread is None:
            thread = Thread(target=self._run, name="notifications", daemon=True)
            thread.start()
            self._thread = thread

    def _run(self) -> None:
        away = False
        while True:
            self._at_once.clear()
            messages = self._take()
            try:
                self._send(messages)
            except RedisError as error:
                if not away:
                    _log.warning("watchers are not told, Redis is away: %s", error)
                away = True
            except Exception:  # noqa: BLE001  (the thread must outlive whatever one round meets)
                _log.exception("watchers are not told")
            else:
                away = False
            self._at_once.wait(EVENTS_EVERY_S)

    def _take(self) -> list[tuple[str, str]]:
        """Wait for something to send."""
        with self._condition:
            while not self._changed:
                wait_s = self._progress_due - time.monotonic() if self._progress else None
                if wait_s is not None and wait_s <= 0:
                    break
                self._condition.wait(wait_s)
            messages = [(channel(one), "") for one in self._changed]
            self._changed.clear()
            if self._progress and self._progress_due <= time.monotonic():
                messages += [(channel(one), json.dumps(said)) for one, said in self._progress.values()]
                self._progress.clear()
                self._progress_due = time.monotonic() + PROGRESS_EVERY_S
        return messages

    def _send(self, messages: list[tuple[str, str]]) -> None:
        pipeline = self._redis.pipeline(transaction=False)
        for name, message in messages:
            pipeline.publish(name, message)
        pipeline.execute()
