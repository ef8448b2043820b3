"""Timeouts and cancellation end what runs, soon, and count as they should."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import pytest

from tests.system import System, fresh_system
from tests.waiting import until

if TYPE_CHECKING:
    from pathlib import Path

ECHO = "satellite/exospherehost/echo"
STUBBORN = "satellite/test/stubborn"
ASYNC = "satellite/test/stubborn-async"


def stubborn(how: str = "sleeps", uses: str = STUBBORN, **fields: Any) -> dict[str, Any]:
    config = {"how": how} | fields.pop("config", {})
    return {"name": "long", "uses": uses, "config": config, **fields}


@pytest.mark.parametrize("how", ["sleeps", "spins", "logs", "async"])
def test_timeout_interrupts_a_satellite_and_counts_as_a_transient_failure(system: System, how: str) -> None:
    long = stubborn(
        timeout=0.3,
        retry_policy={"max_attempts": 2, "base_delay": 0},
        uses=ASYNC if how == "async" else STUBBORN,
        how=how,
    )
    started = time.monotonic()

    execution = system.wait(system.submit(long, {"name": "after", "uses": ECHO, "dependencies": ["long"]}))

    assert time.monotonic() - started < 10
    satellite = system.satellite(execution["execution_id"], "long")
    assert satellite["status"] == "failed"
    assert satellite["error_kind"] == "timeout", satellite["traceback"]
    assert "timeout of 0.3 s" in satellite["error"]
    assert satellite["retries"] == 1
    assert system.statuses(execution["execution_id"])["after"] == "skipped"


@pytest.mark.parametrize("how", ["swallows", "matches"])
def test_satellite_that_does_not_yield_is_killed_and_its_worker_goes_on(system: System, how: str) -> None:
    started = time.monotonic()

    execution = system.wait(system.submit(stubborn(how, timeout=0.3, retries=0)))

    assert time.monotonic() - started < 12
    satellite = system.satellite(execution["execution_id"], "long")
    assert (satellite["status"], satellite["error_kind"]) == ("failed", "timeout")
    assert "killed" in satellite["error"]
    assert system.wait(system.submit({"name": "next", "uses": ECHO}))["status"] == "completed"


@pytest.mark.parametrize("how", ["sleeps", "spins", "logs", "async"])
def test_cancel_ends_a_running_satellite_within_a_second(system: System, tmp_path: Path, how: str) -> None:
    mark = tmp_path / "mark"
    uses = ASYNC if how == "async" else STUBBORN
    execution_id = system.submit(
        stubborn(how, uses=uses, config={"mark": str(mark)}),
        {"name": "after", "uses": ECHO, "dependencies": ["long"]},
    )
    until(mark.exists)
    started = time.monotonic()

    status, answer = system.call("DELETE", f"/executions/{execution_id}")

    assert (status, answer["status"]) == (202, "cancelled")
    assert system.statuses(execution_id) == {"long": "cancelled", "after": "cancelled"}
    # Both children are free again: two satellites that need one each run side by side.
    both = system.submit(
        *({"name": f"s{at}", "uses": "satellite/exospherehost/sleep", "config": {"seconds": 0.1}} for at in range(2))
    )
    system.wait(both)
    assert time.monotonic() - started < 2
    assert system.call("DELETE", f"/executions/{execution_id}")[0] == 202
    assert system.call("POST", f"/executions/{execution_id}/retry")[0] == 409


def test_finished_execution_cannot_be_cancelled(system: System) -> None:
    execution = system.wait(system.submit({"name": "one", "uses": ECHO}))

    status, answer = system.call("DELETE", f"/executions/{execution['execution_id']}")

    assert status == 409
    assert "completed" in answer["message"]


def test_clusters_timeout_fails_it_and_stops_what_runs(system: System, tmp_path: Path) -> None:
    mark = tmp_path / "mark"

    execution = system.wait(
        system.submit(
            stubborn(config={"mark": str(mark)}), {"name": "after", "uses": ECHO, "dependencies": ["long"]}, timeout=0.5
        ),
        within_s=10,
    )

    assert execution["status"] == "failed"
    assert execution["error"] == "the execution did not finish within its timeout of 0.5 s"
    assert {one["status"] for one in execution["satellites"]} == {"cancelled"}


@pytest.mark.parametrize("pool", ["threads", "solo"])
def test_other_pools_interrupt_too(postgres: str, template: str, tmp_path: Path, pool: str) -> None:
    with fresh_system(postgres, template) as system:
        system.start_worker("-P", pool)
        system.start_beat()
        system.start_api()
        execution = system.wait(system.submit(stubborn("spins", timeout=0.3, retries=0)))
        assert system.satellite(execution["execution_id"], "long")["error_kind"] == "timeout"

        mark = tmp_path / "mark"
        execution_id = system.submit(stubborn("spins", config={"mark": str(mark)}))
        until(mark.exists)
        system.call("DELETE", f"/executions/{execution_id}")
        assert system.wait(system.submit({"name": "next", "uses": ECHO}), within_s=5)["status"] == "completed"
