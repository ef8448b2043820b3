"""A watcher is sent away with the last event, whichever way that came to it."""

from __future__ import annotations

from contextlib import contextmanager
from threading import Event
from typing import TYPE_CHECKING, Any

import pytest

from api.app import create_app
from api.live.connection import Closed
from api.live.follower import Follower
from api.live.hub import Hub
from api.services import services_of
from state_manager.config import Settings
from state_manager.progress import Progress
from state_manager.store.executions import retry
from tests.factories import front, submit
from tests.live.frames import messages_in
from tests.store.attempts import claim, completed, failed, settle

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sqlalchemy import Engine

    from tests.factories import Submitted


class Client:
    """Takes frames, and has nothing to wait for: what it waits for is here already."""

    def __init__(self) -> None:
        self.changed = Event()
        self.seqs: list[int] = []

    def send(self, framed: bytes) -> None:
        for message in messages_in(framed):
            self.seqs += [one["seq"] for one in message.get("events", [message])]

    def wait(self, seconds: float = 0) -> None:
        raise AssertionError(f"it waits for {seconds} s, after {self.seqs}")


class StillHub(Hub):
    """A hub that looks at nothing by itself: its feeds stay where they began."""

    def _wake(self) -> None:
        pass


@contextmanager
def engine_and_hub(database_uri: str) -> Iterator[tuple[Engine, Hub]]:
    """Yield an application's engine and a hub that stands still; close them when the block ends."""
    services = services_of(create_app(Settings(database_uri=database_uri, redis_uri="redis://127.0.0.1:1")))
    try:
        yield services.engine, StillHub(services.engine, services.redis)
    finally:
        services.engine.dispose()
        services.redis.close()


def follow(
    database_uri: str, submitted: Submitted, satellite: str | None, known: int, head: int, *, finished: bool = False
) -> tuple[list[int], int]:
    """Follow from what is known, as one who came when the execution was at `head`; return what came and the code."""
    client: Any = Client()
    satellite_id = None if satellite is None else str(submitted.ids[satellite])
    total = len(submitted.ids)
    start, end = Progress(known, 0, total), Progress(head, 0, total)
    with engine_and_hub(database_uri) as (engine, hub), pytest.raises(Closed) as closed:
        Follower(engine, hub, client, submitted.execution_id, satellite_id, start, end, finished).follow()
    return client.seqs, closed.value.code


@pytest.fixture
def ended(engine: Engine) -> Submitted:
    """Return an execution whose events are: submitted, started, two starts, two completions, the end."""
    submitted = submit(engine, front(2))
    for name in ("s0", "s1"):
        settle(engine, *map(completed, claim(engine, submitted, name)))
    return submitted


def test_end_that_came_while_it_was_catching_up_closes(database_uri: str, ended: Submitted) -> None:
    assert follow(database_uri, ended, None, known=1, head=3) == ([2, 3, 4, 5, 6, 7], 1000)


def test_end_of_a_satellite_that_came_while_it_was_catching_up_closes(database_uri: str, ended: Submitted) -> None:
    assert follow(database_uri, ended, "s0", known=1, head=3) == ([3, 4], 1000)


def test_satellite_that_never_ended_closes_with_its_execution(database_uri: str, ended: Submitted) -> None:
    assert follow(database_uri, ended, "s1", known=1, head=3) == ([5, 6], 1000)


def test_what_was_finished_is_told_to_its_end(database_uri: str, ended: Submitted) -> None:
    assert follow(database_uri, ended, None, known=3, head=7, finished=True) == ([4, 5, 6, 7], 1000)
    assert follow(database_uri, ended, "s0", known=4, head=7, finished=True) == ([], 1000)


def test_watcher_of_what_is_finished_ends_with_its_end_though_a_retry_came_meanwhile(
    database_uri: str, engine: Engine
) -> None:
    submitted = submit(engine, front(2))
    (first,), (other,) = claim(engine, submitted, "s0"), claim(engine, submitted, "s1")
    settle(engine, completed(first))
    settle(engine, failed(other))  # the seventh event is the execution's end
    retry(engine, submitted.execution_id)
    claim(engine, submitted, "s1")
    assert follow(database_uri, submitted, None, known=1, head=7, finished=True) == ([2, 3, 4, 5, 6, 7], 1000)
    assert follow(database_uri, submitted, "s1", known=1, head=7, finished=True) == ([4, 6], 1000)
