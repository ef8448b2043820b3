"""Notifications over Redis: new events are announced, and of a satellite's progress only the latest is sent."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pytest
import redis

from state_manager import notifications
from state_manager.notifications import Notifier, channel
from tests.waiting import until

if TYPE_CHECKING:
    from collections.abc import Iterator

    from redis.client import PubSub

NEVER_S = 3600.0


@pytest.fixture
def connection(redis_uri: str) -> Iterator[redis.Redis]:
    with redis.Redis.from_url(redis_uri) as connection:
        yield connection


def listen(connection: redis.Redis, *names: str) -> PubSub:
    pubsub: PubSub = connection.pubsub()  # type: ignore[no-untyped-call]
    pubsub.subscribe(*names)
    for _ in names:
        assert pubsub.get_message(timeout=10)
    return pubsub


def next_message(pubsub: PubSub) -> tuple[str, str]:
    message: dict[str, Any] = until(lambda: pubsub.get_message(timeout=1), what="a message comes")
    return message["channel"].decode(), message["data"].decode()


def test_progress_within_an_interval_waits_and_notices_do_not(
    connection: redis.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(notifications, "PROGRESS_EVERY_S", NEVER_S)
    execution, other, satellite, notifier = uuid4(), uuid4(), uuid4(), Notifier(connection)
    pubsub = listen(connection, channel(execution), channel(other))
    notifier.publish_progress(execution, satellite, {"progress": 0.1})
    assert next_message(pubsub) == (channel(execution), '{"progress": 0.1}')

    notifier.publish_progress(execution, satellite, {"progress": 0.2})
    notifier.notify_watchers(execution, ended=True)
    assert next_message(pubsub) == (channel(execution), "")
    notifier.notify_watchers(other, ended=True)
    assert next_message(pubsub) == (channel(other), "")


def test_of_progress_the_latest_of_each_satellite_goes_out(
    connection: redis.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(notifications, "PROGRESS_EVERY_S", 0.3)
    execution, one, other, notifier = uuid4(), uuid4(), uuid4(), Notifier(connection)
    pubsub = listen(connection, channel(execution))
    notifier.publish_progress(execution, one, {"one": 0})
    next_message(pubsub)
    for step in range(1, 4):
        notifier.publish_progress(execution, one, {"one": step})
        notifier.publish_progress(execution, other, {"other": step})
    assert {next_message(pubsub)[1] for _ in range(2)} == {'{"one": 3}', '{"other": 3}'}


def test_end_of_an_execution_is_told_at_once(connection: redis.Redis, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(notifications, "EVENTS_EVERY_S", NEVER_S)
    first, second, notifier = uuid4(), uuid4(), Notifier(connection)
    pubsub = listen(connection, channel(first), channel(second))
    notifier.notify_watchers(first)
    assert next_message(pubsub) == (channel(first), "")
    notifier.notify_watchers(second, ended=True)
    assert next_message(pubsub) == (channel(second), "")


def test_notices_go_on_after_redis_was_away(connection: redis.Redis, monkeypatch: pytest.MonkeyPatch) -> None:
    lost, told, notifier = uuid4(), uuid4(), Notifier(connection)
    pubsub = listen(connection, channel(told))
    send, sent = notifier._send, []

    def fail_once(messages: list[tuple[str, str]]) -> None:
        sent.append(messages)
        if len(sent) == 1:
            raise redis.ConnectionError
        send(messages)

    monkeypatch.setattr(notifier, "_send", fail_once)
    notifier.notify_watchers(lost)
    until(lambda: sent)
    notifier.notify_watchers(told)
    assert next_message(pubsub) == (channel(told), "")
