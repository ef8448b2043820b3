"""A satellite that kills its own process is tried again, and fails alone."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.system import System

ECHO = "satellite/exospherehost/echo"


@pytest.mark.parametrize("how", ["kill", "exit", "segfault"])
def test_satellite_that_kills_its_process_runs_again_and_takes_nobody_along(system: System, how: str) -> None:
    execution = system.wait(
        system.submit(
            {"name": "dies", "uses": "satellite/test/die", "config": {"how": how}},
            {"name": "after", "uses": ECHO, "dependencies": ["dies"]},
            *({"name": f"beside-{at}", "uses": ECHO} for at in range(10)),
        )
    )

    assert execution["status"] == "completed"
    assert system.satellite(execution["execution_id"], "dies")["attempt"] == 2


def test_satellite_that_always_kills_its_process_fails_after_its_last_attempt(system: System) -> None:
    execution = system.wait(
        system.submit({"name": "dies", "uses": "satellite/test/die", "config": {"deaths": 99}, "retries": 1})
    )

    satellite = system.satellite(execution["execution_id"], "dies")
    assert (satellite["status"], satellite["error_kind"], satellite["attempt"]) == ("failed", "worker_lost", 2)
    assert "lost" in satellite["error"]
