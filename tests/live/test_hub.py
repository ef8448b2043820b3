"""The hub learns of events from notifications, and by polling where none comes."""

from __future__ import annotations

from contextlib import contextmanager
from threading import Event
from typing import TYPE_CHECKING

import pytest
from redis import Redis

from api.live import hub as hubs
from api.live.hub import Hub
from state_manager.lifecycle import Lifecycle
from state_manager.notifications import Notifier, channel
from state_manager.progress import Progress
from state_manager.states import ExecutionStatus
from tests.factories import front, submit
from tests.live.serving import NOWHERE
from tests.store.attempts import claim, failed, settle
from tests.waiting import until

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from uuid import UUID

    from sqlalchemy import Engine

    from api.live.feed import Feed
    from state_manager.store.queueing import Unsent
    from tests.factories import Submitted

NEVER_S = 3600.0


class SendsNothing:
    """A dispatcher for executions that nobody runs."""

    def send(self, unsent: Sequence[Unsent]) -> None:
        pass

    def enqueue_dispatch(self, execution_id: UUID) -> None:
        pass


@pytest.fixture
def redis(redis_uri: str) -> Iterator[Redis]:
    with Redis.from_url(redis_uri) as client:
        yield client


@contextmanager
def watched(hub: Hub, submitted: Submitted) -> Iterator[Feed]:
    """Watch from the second event on, after which an execution is running."""
    with hub.feed(submitted.execution_id, Progress(2, 0, len(submitted.ids)), Event()) as feed:
        yield feed


def reaches(feed: Feed, seq: int) -> None:
    until(lambda: feed.seq >= seq, within_s=10, what=f"the feed has the event {seq}")


def subscriptions(redis: Redis) -> list[bytes]:
    found: list[bytes] = redis.pubsub_channels("exosphere:*")  # type: ignore[assignment]
    return found


@contextmanager
def told_by_notifications_alone(hub: Hub, redis: Redis, engine: Engine, submitted: Submitted) -> Iterator[Feed]:
    """Watch with a hub whose first poll and confirmed subscription, each a reason to read, are over."""
    with watched(hub, submitted) as feed:
        until(lambda: subscriptions(redis), what="it has subscribed")
        notifier = Notifier(redis)
        for at, name in enumerate(("s0", "s1", "s2")):
            claim(engine, submitted, name)
            notifier.notify_watchers(submitted.execution_id)
            reaches(feed, 3 + at)
        yield feed


@pytest.fixture
def unpolled(engine: Engine, redis: Redis, monkeypatch: pytest.MonkeyPatch) -> Hub:
    """Return a hub that polls once, at its beginning."""
    monkeypatch.setattr(hubs, "POLL_INTERVAL_S", NEVER_S)
    return Hub(engine, redis)


def test_notification_brings_events_without_a_poll(unpolled: Hub, redis: Redis, engine: Engine) -> None:
    with told_by_notifications_alone(unpolled, redis, engine, submit(engine, front(4))) as feed:
        assert feed.seq == 5


def test_poll_brings_events_without_a_notification(
    engine: Engine, redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    submitted = submit(engine, front(4))
    with watched(Hub(engine, redis), submitted) as feed:
        for at, name in enumerate(("s0", "s1", "s2")):
            claim(engine, submitted, name)
            reaches(feed, 3 + at)


def test_poll_brings_events_without_redis(engine: Engine) -> None:
    submitted = submit(engine, front(4))
    with Redis.from_url(NOWHERE) as nowhere, watched(Hub(engine, nowhere), submitted) as feed:
        for at, name in enumerate(("s0", "s1", "s2")):
            claim(engine, submitted, name)
            reaches(feed, 3 + at)


def test_rest_of_a_page_is_read_at_once(
    unpolled: Hub, redis: Redis, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hubs, "PAGE", 2)
    submitted = submit(engine, front(10))
    with told_by_notifications_alone(unpolled, redis, engine, submitted) as feed:
        claim(engine, submitted, *(f"s{at}" for at in range(3, 10)))
        Notifier(redis).notify_watchers(submitted.execution_id)
        reaches(feed, 12)


def test_cancel_and_retry_notify_watchers(unpolled: Hub, redis: Redis, engine: Engine) -> None:
    lifecycle = Lifecycle(engine, SendsNothing(), Notifier(redis), 1000)
    cancelled, revived = submit(engine, front(3)), submit(engine, front(4))
    with told_by_notifications_alone(unpolled, redis, engine, cancelled) as feed:
        lifecycle.stop(cancelled.execution_id, ExecutionStatus.CANCELLED)
        reaches(feed, 9)
    with told_by_notifications_alone(unpolled, redis, engine, revived) as feed:
        settle(engine, *map(failed, claim(engine, revived, "s3")))
        Notifier(redis).notify_watchers(revived.execution_id)
        reaches(feed, 7)
        lifecycle.retry(revived.execution_id, revived["s3"])
        reaches(feed, 8)


def test_feed_lasts_as_long_as_one_watcher_and_no_longer(
    engine: Engine, redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hubs, "POLL_INTERVAL_S", 0.05)
    hub, submitted = Hub(engine, redis), submit(engine, front(2))
    with watched(hub, submitted) as feed:
        with watched(hub, submitted) as same:
            assert same is feed
        claim(engine, submitted, "s0")
        reaches(feed, 3)
        assert subscriptions(redis) == [channel(submitted.execution_id).encode()]
    until(lambda: not subscriptions(redis), what="nothing is subscribed to any more")
    with watched(hub, submitted) as another:
        assert another is not feed


def test_watcher_is_woken_until_it_leaves(engine: Engine, redis: Redis, monkeypatch: pytest.MonkeyPatch) -> None:
    hub, submitted, gone = Hub(engine, redis), submit(engine, front(2)), Event()
    with watched(hub, submitted) as feed:
        with hub.feed(submitted.execution_id, Progress(2, 0, 2), gone):
            claim(engine, submitted, "s0")
            until(gone.is_set, what="it is woken")
        gone.clear()
        claim(engine, submitted, "s1")
        reaches(feed, 4)
        assert not gone.is_set()
