"""Workers, beat and the API die, come back, or come twice: nothing is lost, and nothing is done twice."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import redis
from sqlalchemy import text

from tests.chaos.load import ECHO, assert_nothing_is_lost, chain, fan, flush, overlapping
from tests.chaos.servers import fresh_killable_system
from tests.system import System, fresh_system
from tests.waiting import until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(240)]


@pytest.fixture
def system(postgres: str, template: str) -> Iterator[System]:
    with fresh_system(postgres, template) as system:
        yield system


def is_under_way(system: System, execution_id: str, completed: int = 2) -> bool:
    return bool(system.execution(execution_id)["progress"]["completed_satellites"] >= completed)


def attempts(system: System) -> int:
    with system.engine.connect() as connection:
        return int(connection.execute(text("SELECT sum(attempt) FROM satellites")).scalar_one())


def test_everything_killed_at_once_and_started_again_goes_on() -> None:
    with fresh_killable_system() as system:
        parts = [system.start_worker(), system.start_beat(), system.start_api()]
        ids = [system.submit(*cluster) for cluster in (chain(20), fan(10), overlapping())]
        until(lambda: is_under_way(system, ids[0]))

        for part in parts:
            part.kill_group()
        system.postgres.kill()
        system.valkey.kill()
        system.postgres.start()
        system.valkey.start()
        system.start_worker()
        system.start_beat()
        system.start_api()

        assert_nothing_is_lost(system, ids)
        assert {system.execution(one)["status"] for one in ids} == {"completed"}


def test_two_beats_do_everything_once(system: System) -> None:
    system.start_api()
    system.start_beat()
    system.start_beat()
    flaky = {"name": "flaky", "uses": "satellite/test/flaky", "config": {"failures": 2}}
    flaky["retry_policy"] = {"max_attempts": 3, "base_delay": 0.1, "backoff_strategy": "fixed"}
    system.start_worker()

    ids = [system.submit(flaky, *chain(4, 0.01)) for _ in range(20)]
    flush(system)

    assert_nothing_is_lost(system, ids)
    assert {system.execution(one)["status"] for one in ids} == {"completed"}
    assert attempts(system) == 20 * (3 + 4)


def test_without_beat_only_time_is_lost(system: System) -> None:
    system.start_api()
    worker = system.start_worker()
    ids = [system.submit(*chain(20)) for _ in range(4)]
    until(lambda: is_under_way(system, ids[0]))
    worker.kill_group()
    flush(system)
    system.start_worker()
    later = system.submit(*chain(3))
    assert system.wait(later)["status"] == "completed"
    assert {system.execution(one)["status"] for one in ids} == {"running"}

    system.start_beat()

    assert_nothing_is_lost(system, ids)


def test_message_that_comes_twice_runs_its_satellite_once(system: System) -> None:
    worker = system.start_worker()
    worker.stop()
    system.start_api()
    ids = [system.submit(*cluster) for cluster in (chain(5, 0.01), fan(5), overlapping()) for _ in range(5)]
    broker = redis.Redis.from_url(system.redis_uri)
    messages = broker.lrange("satellites", 0, -1)
    for message in messages:
        broker.lpush("satellites", message, message)

    system.start_worker()

    assert_nothing_is_lost(system, ids)
    assert attempts(system) == 5 * (5 + 7 + 6)
    until(lambda: broker.llen("satellites") == 0, what="the copies are taken too")


def test_flush_with_200_executions_in_flight_loses_none_of_them(system: System) -> None:
    system.start_everything()
    ids = [system.submit(*chain(4, 0.01)) for _ in range(200)]

    flush(system)

    assert_nothing_is_lost(system, ids)
    assert {system.execution(one)["status"] for one in ids} == {"completed"}
    assert attempts(system) == 200 * 4


def test_killed_workers_satellite_starts_on_another_long_before_its_lease_is_over(
    postgres: str, template: str, tmp_path: Path
) -> None:
    with fresh_system(postgres, template, LEASE_SECONDS="3600") as system:
        system.start_beat()
        system.start_api()
        first = system.start_worker()
        gate = tmp_path / "gate"
        held = {"name": "held", "uses": "satellite/test/wait", "config": {"file": str(gate)}}
        execution_id = system.submit(held)
        until(lambda: system.statuses(execution_id)["held"] == "running")
        system.start_worker()

        first.kill_group()

        until(lambda: system.satellite(execution_id, "held")["attempt"] == 2, what="the other worker starts it")
        gate.touch()
        assert_nothing_is_lost(system, [execution_id])
        assert system.execution(execution_id)["status"] == "completed"


def test_revoked_task_cancels_its_execution(system: System) -> None:
    system.start_api()
    system.start_worker()
    execution_id = system.submit(
        {"name": "long", "uses": "satellite/exospherehost/sleep", "config": {"seconds": 60}},
        {"name": "after", "uses": ECHO, "dependencies": ["long"]},
    )
    until(lambda: system.statuses(execution_id)["long"] == "running")
    satellite = system.satellite(execution_id, "long")

    system.start("-m", "celery", "-A", "workers", "control", "revoke", satellite["satellite_id"]).wait()
    system.start("-m", "celery", "-A", "workers", "control", "terminate", "TERM", satellite["satellite_id"]).wait()

    execution = system.wait(execution_id)
    assert execution["status"] == "cancelled"
    assert set(system.statuses(execution_id).values()) == {"cancelled"}
    assert_nothing_is_lost(system, [execution_id])
