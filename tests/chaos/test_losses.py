"""Workers that are killed, or stopped past their lease, lose nothing."""

from __future__ import annotations

import os
import signal
from typing import TYPE_CHECKING

import pytest

from tests.chaos.load import assert_nothing_is_lost, chain
from tests.system import System, fresh_system
from tests.waiting import until

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
