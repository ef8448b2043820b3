"""Progress is passed on at most ten times a second, the latest of it, and does not hold up what happened."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from redis import Redis

from state_manager import notifications
from state_manager.notifications import Notifier, channel
from tests.waiting import until

if TYPE_CHECKING:
    import pytest
    from redis.client import PubSub

EXECUTION, SATELLITE = uuid4(), uuid4()


def next_message(listener: PubSub) -> Any:
    message: Any = until(lambda: listener.get_message(timeout=0.1), what="a notification")
    return json.loads(message["data"]) if message["data"] else None


def test_progress_is_throttled_to_the_latest(redis_uri: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(notifications, "PROGRESS_EVERY_S", 3600.0)
    with Redis.from_url(redis_uri) as redis, redis.pubsub(ignore_subscribe_messages=True) as listener:
        listener.subscribe(channel(EXECUTION))
        notifier = Notifier(redis)

        def publish(step: int) -> None:
            notifier.publish_progress(EXECUTION, SATELLITE, {"progress": step})

        publish(1)
        assert next_message(listener) == {"progress": 1}
        for step in (2, 3, 4):
            publish(step)
        for _ in range(2):
            notifier.notify_watchers(EXECUTION)
            assert next_message(listener) is None, "an event is announced at once, and no progress with it"
        notifier._progress_due = 0.0
        notifier.notify_watchers(EXECUTION)
        assert sorted((next_message(listener), next_message(listener)), key=bool) == [None, {"progress": 4}]
