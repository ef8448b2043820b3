"""A watcher's last view equals the database, with no event missed or repeated, after any failure in between."""

from __future__ import annotations

import json
from contextlib import contextmanager
from threading import Thread
from typing import TYPE_CHECKING, Any

import pytest
import redis
from websockets.exceptions import ConnectionClosed, InvalidHandshake
from websockets.sync.client import connect

from tests.chaos.load import ECHO, assert_nothing_is_lost, flush, overlapping, terminate_sessions
from tests.chaos.proxy import Faults, Proxy
from tests.chaos.servers import KillableSystem, fresh_killable_system
from tests.waiting import sleep, until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(240)]

WATCHERS = 5
SATELLITES = 120
AWAY_S = 0.5


class View:
    """A client that watches an execution until its end, resuming by `since`, and holds every event against the last."""

    def __init__(self, uri: str, execution_id: str) -> None:
        self.statuses: dict[str, str] = {}
        self.status = ""
        self.seq = 0
        self.resumed = 0
        self.ended = False
        self.faults: list[str] = []
        self._uri = f"{uri}/ws/executions/{execution_id}"
        self._thread = Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        while not self.ended and not self.faults:
            try:
                with connect(self._uri + (f"?since={self.seq}" if self.seq else ""), max_size=None) as connection:
                    self._follow(connection)
            except ConnectionClosed as closed:
                code = 1006 if closed.rcvd is None else closed.rcvd.code
                if code not in {1001, 1006, 1011, 1013} and (code, self.ended) != (1000, True):
                    self.faults.append(f"closed with {closed.rcvd}")
            except (OSError, InvalidHandshake, TimeoutError):
                sleep(0.02)
            self.resumed += 1

    def _follow(self, connection: Any) -> None:
        while True:  # to the server's close, also after the last event
            message = json.loads(connection.recv())
            if message["type"] == "snapshot":
                self._take_snapshot(message)
            for event in message.get("events", [message] if message["type"] == "event" else []):
                self._take(event)

    def _take_snapshot(self, message: dict[str, Any]) -> None:
        execution = message["execution"]
        self.seq, self.status = message["seq"], execution["status"]
        self.statuses = {one["satellite_id"]: one["status"] for one in execution["satellites"]}
        self.ended = self.status in {"completed", "failed", "cancelled"}

    def _take(self, event: dict[str, Any]) -> None:
        if event["seq"] != self.seq + 1:
            self.faults.append(f"after {self.seq} came {event['seq']}")
        self.seq = event["seq"]
        if event["satellite_id"] is None:
            self.status = event["status"]
            self.ended = self.status in {"completed", "failed", "cancelled"}
        else:
            self.statuses[event["satellite_id"]] = event["status"]


@pytest.fixture(scope="module")
def system() -> Iterator[KillableSystem]:
    with fresh_killable_system(RECONCILE_INTERVAL="0.2") as system:
        system.start_everything()
        yield system


def some_seconds() -> list[dict[str, Any]]:
    satellites = [
        {**one, "name": f"{one['name']}-{at}", "dependencies": [f"{name}-{at}" for name in one.get("dependencies", [])]}
        for at in range(SATELLITES // 6)
        for one in overlapping()
    ]
    for one in satellites:
        if one["uses"].endswith("/sleep"):
            one["config"] = {"seconds": 0.1}
    return satellites


@contextmanager
def watched(
    system: KillableSystem, port: int | None = None, satellites: list[dict[str, Any]] | None = None
) -> Iterator[list[View]]:
    """Have an execution watched in this block, and then hold every view against the database."""
    execution_id = system.submit(*(satellites or some_seconds()))
    views = [View(f"ws://127.0.0.1:{port or system.port}", execution_id) for _ in range(WATCHERS)]
    until(lambda: all(view.seq for view in views), what="all watch")
    yield views
    until(lambda: system.answers(f"/executions/{execution_id}"), what="the API is back")
    final = system.wait(execution_id)
    until(lambda: all(view.ended or view.faults for view in views), what="every watcher has seen the end")
    for view in views:
        assert view.faults == []
        assert (view.seq, view.status) == (final["seq"], "completed")
        assert view.statuses == {one["satellite_id"]: one["status"] for one in final["satellites"]}
    assert_nothing_is_lost(system, [execution_id])


def assert_notices_come_again(system: KillableSystem) -> None:
    """Hold that watchers are woken by Redis again, not by looking alone."""
    client = redis.Redis.from_url(system.redis_uri, socket_timeout=5)
    until(lambda: client.pubsub_channels("exosphere:execution:*"), what="the API listens to Redis again")


def until_it_goes_on(views: list[View]) -> None:
    """Wait until every watcher is told something more, though some seconds late."""
    seen = [view.seq for view in views]
    until(
        lambda: all(view.seq > seq or view.ended for view, seq in zip(views, seen, strict=True)),
        what="all are told more",
    )


def test_nothing_fails(system: KillableSystem) -> None:
    with watched(system) as views:
        pass
    assert {view.resumed for view in views} == {1}


def test_redis_is_flushed(system: KillableSystem) -> None:
    with watched(system) as views:
        for _ in range(3):
            flush(system)
            until_it_goes_on(views)
        assert_notices_come_again(system)
    assert {view.resumed for view in views} == {1}


def test_redis_is_killed_and_comes_back(system: KillableSystem) -> None:
    with watched(system) as views:
        with system.valkey.killed():
            sleep(AWAY_S)
        assert_notices_come_again(system)
        until_it_goes_on(views)
    assert {view.resumed for view in views} == {1}


def test_redis_hangs(system: KillableSystem) -> None:
    with watched(system) as views:
        with system.valkey.paused():
            sleep(2 * AWAY_S)
        assert_notices_come_again(system)
        until_it_goes_on(views)
    assert {view.resumed for view in views} == {1}


def test_events_come_while_redis_stays_away(system: KillableSystem, tmp_path: Path) -> None:
    gate = {"name": "gate", "uses": "satellite/test/wait", "config": {"file": str(tmp_path / "gate")}}
    with watched(system, satellites=[gate, {"name": "behind", "uses": ECHO, "dependencies": ["gate"]}]) as views:
        until(lambda: all("running" in view.statuses.values() for view in views), what="a worker holds the gate")
        with system.valkey.killed():
            seen = max(view.seq for view in views)
            # What the workers hold goes on, and its events come by looking alone.
            (tmp_path / "gate").touch()
            until(lambda: all(view.seq > seen for view in views), what="events come without Redis")


def test_api_is_killed_and_started_again(system: KillableSystem) -> None:
    with watched(system) as views:
        assert system.api is not None
        system.api.kill_group()
        sleep(AWAY_S)
        system.start_api()
        until_it_goes_on(views)
    assert min(view.resumed for view in views) > 1


def test_postgresql_is_killed_and_comes_back(system: KillableSystem) -> None:
    with watched(system) as views:
        with system.postgres.killed():
            sleep(AWAY_S)
        until_it_goes_on(views)


def test_sessions_are_terminated(system: KillableSystem) -> None:
    with watched(system) as views:
        for _ in range(3):
            terminate_sessions(system)
            until_it_goes_on(views)


def test_network_is_cut_again_and_again(system: KillableSystem) -> None:
    with Proxy(("127.0.0.1", system.port)) as proxy, watched(system, proxy.port) as views:
        for cut_after in (1, 3_000, 20_000):
            proxy.switch(Faults(cut_after=cut_after, cuts=WATCHERS))
            until_it_goes_on(views)
        proxy.switch(Faults())
        proxy.reset()
    assert proxy.counts["cut"] >= WATCHERS
    assert min(view.resumed for view in views) > 1
