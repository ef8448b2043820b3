"""Any exception of a satellite is that satellite's failure, in every pool of Celery, and its worker continues."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.system import System, fresh_system

if TYPE_CHECKING:
    from collections.abc import Iterator

ECHO = "satellite/exospherehost/echo"
KINDS = ["CancelledError", "KeyboardInterrupt", "GeneratorExit", "SystemExit", "Odd", "MemoryError", "Ignore", "Reject"]


@pytest.fixture(scope="module", params=["prefork", "threads", "solo"])
def system(request: pytest.FixtureRequest, postgres: str, template: str) -> Iterator[System]:
    """Yield a system with a worker of one of the pools, and nothing that would repair a lost attempt."""
    with fresh_system(postgres, template) as system:
        system.start_worker("-P", request.param, "-c", "2")
        system.start_api()
        yield system


@pytest.mark.parametrize("uses", ["satellite/test/raise", "satellite/test/raise-async"])
def test_every_exception_is_recorded_as_the_satellites_failure(system: System, uses: str) -> None:
    execution = system.wait(
        system.submit(*({"name": kind, "uses": uses, "config": {"kind": kind}, "retries": 0} for kind in KINDS)),
        within_s=20,
    )

    satellites = {one["name"]: one for one in execution["satellites"]}
    assert {one["status"] for one in satellites.values()} == {"failed"}
    assert [kind for kind in KINDS if kind not in satellites[kind]["error"] and kind != "SystemExit"] == []
    assert satellites["MemoryError"]["error_kind"] == "resource_unavailable"
    assert system.wait(system.submit({"name": "next", "uses": ECHO}), within_s=10)["status"] == "completed"


def test_failure_that_is_retried_is_retried(system: System) -> None:
    execution = system.wait(
        system.submit(
            {
                "name": "odd",
                "uses": "satellite/test/raise",
                "config": {"kind": "Odd"},
                "retry_policy": {"max_attempts": 2, "base_delay": 0},
            }
        )
    )

    assert system.satellite(execution["execution_id"], "odd")["retries"] == 1
