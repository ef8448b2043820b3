"""Workers that are killed, or stopped past their lease, lose nothing."""

from __future__ import annotations

import os
import signal
from typing import TYPE_CHECKING

import pytest

from tests.chaos.load import assert_nothing_is_lost, chain
from tests.system import System, fresh_system
from tests.waiting import sleep, until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(240)]


@pytest.fixture
def system(postgres: str, template: str) -> Iterator[System]:
    with fresh_system(postgres, template) as system:
        system.start_beat()
        system.start_api()
        yield system


def test_killed_worker_is_replaced_by_another_that_lives(system: System) -> None:
    first, _ = system.start_worker(), system.start_worker()
    executions = [system.submit(*chain(20)) for _ in range(4)]
    until(lambda: system.execution(executions[0])["progress"]["completed_satellites"] >= 3)

    first.kill_group()

    assert_nothing_is_lost(system, executions)
    assert {system.execution(one)["status"] for one in executions} == {"completed"}


def test_worker_that_was_stopped_past_its_lease_is_refused(system: System, tmp_path: Path) -> None:
    mark = tmp_path / "mark"
    system.start_worker("-P", "solo", LEASE_SECONDS="2")
    execution_id = system.submit(
        {
            "name": "long",
            "uses": "satellite/test/stubborn",
            "config": {"how": "asks", "seconds": 1, "mark": str(mark)},
        }
    )
    pid = int(until(lambda: mark.exists() and mark.read_text().split())[0])
    os.kill(pid, signal.SIGSTOP)
    try:
        system.start_worker()
        until(lambda: system.satellite(execution_id, "long")["attempt"] == 2)
    finally:
        os.kill(pid, signal.SIGCONT)

    execution = system.wait(execution_id)

    assert execution["status"] == "completed"
    assert system.satellite(execution_id, "long")["attempt"] == 2


def test_workers_and_beat_that_were_stopped_together_lose_no_attempt(postgres: str, template: str) -> None:
    """Stop a whole machine past the leases, as a suspend does; when it goes on, nobody is charged."""
    with fresh_system(postgres, template, LEASE_SECONDS="3") as system:
        beat, worker = system.start_beat(), system.start_worker()
        system.start_api()
        sleepers = [
            {"name": f"s{at}", "uses": "satellite/exospherehost/sleep", "config": {"seconds": 8}} for at in range(2)
        ]
        execution_id = system.submit(*sleepers)
        names = [str(one["name"]) for one in sleepers]
        until(lambda: all(system.satellite(execution_id, name)["status"] == "running" for name in names))
        for part in (beat, worker):
            os.killpg(part.pid, signal.SIGSTOP)
        try:
            sleep(5)
        finally:
            for part in (beat, worker):
                os.killpg(part.pid, signal.SIGCONT)

        assert system.wait(execution_id)["status"] == "completed"
        assert [system.satellite(execution_id, name)["attempt"] for name in names] == [1, 1]
        assert "slept for" in beat.output
