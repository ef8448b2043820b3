"""Timeouts and cancellation end what runs, and count as they should."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.system import System, fresh_system
from tests.waiting import until

if TYPE_CHECKING:
    from pathlib import Path

ECHO = "satellite/exospherehost/echo"
STUBBORN = "satellite/test/stubborn"
ASYNC = "satellite/test/stubborn-async"
MEET = "satellite/test/meet"
UNINTERRUPTED_S = 600
"""Seconds that the long satellites take if nothing ends them: longer than any test waits."""


def stubborn(how: str = "sleeps", uses: str = STUBBORN, **fields: Any) -> dict[str, Any]:
    config = {"how": how, "seconds": UNINTERRUPTED_S} | fields.pop("config", {})
    return {"name": "long", "uses": uses, "config": config, **fields}


@pytest.mark.parametrize("how", ["sleeps", "spins", "logs", "async"])
def test_timeout_interrupts_a_satellite_and_counts_as_a_transient_failure(system: System, how: str) -> None:
    long = stubborn(
        timeout=0.3,
        retry_policy={"max_attempts": 2, "base_delay": 0},
        uses=ASYNC if how == "async" else STUBBORN,
        how=how,
    )

    execution = system.wait(system.submit(long, {"name": "after", "uses": ECHO, "dependencies": ["long"]}))

    satellite = system.satellite(execution["execution_id"], "long")
    assert satellite["status"] == "failed"
    assert satellite["error_kind"] == "timeout", satellite["traceback"]
    assert "timeout of 0.3 s" in satellite["error"]
    assert satellite["retries"] == 1
    assert system.statuses(execution["execution_id"])["after"] == "skipped"


@pytest.mark.parametrize("how", ["swallows", "matches"])
def test_satellite_that_does_not_yield_is_killed_and_its_worker_goes_on(system: System, how: str) -> None:
    execution = system.wait(system.submit(stubborn(how, timeout=0.3, retries=0)))

    satellite = system.satellite(execution["execution_id"], "long")
    assert (satellite["status"], satellite["error_kind"]) == ("failed", "timeout")
    assert "killed" in satellite["error"]
    assert system.wait(system.submit({"name": "next", "uses": ECHO}))["status"] == "completed"


@pytest.mark.parametrize("how", ["sleeps", "spins", "logs", "async"])
def test_cancel_ends_a_running_satellite_and_frees_its_process(system: System, tmp_path: Path, how: str) -> None:
    mark, one, other = tmp_path / "mark", str(tmp_path / "one"), str(tmp_path / "other")
    uses = ASYNC if how == "async" else STUBBORN
    execution_id = system.submit(
        stubborn(how, uses=uses, config={"mark": str(mark)}),
        {"name": "after", "uses": ECHO, "dependencies": ["long"]},
    )
    until(mark.exists)

    status, answer = system.call("DELETE", f"/executions/{execution_id}")

    assert (status, answer["status"]) == (202, "cancelled")
    assert system.statuses(execution_id) == {"long": "cancelled", "after": "cancelled"}
    # Each of these two ends only if the other runs beside it, which takes both of the worker's processes.
    both = system.submit(
        {"name": "one", "uses": MEET, "config": {"leaves": one, "awaits": other}},
        {"name": "other", "uses": MEET, "config": {"leaves": other, "awaits": one}},
    )
    assert system.wait(both)["status"] == "completed"
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
        )
    )

    assert execution["status"] == "failed"
    assert execution["error"] == "the execution did not finish within its timeout of 0.5 s"
    assert {one["status"] for one in execution["satellites"]} == {"cancelled"}


@pytest.mark.parametrize("pool", ["threads", "solo"])
def test_other_pools_interrupt_too(postgres: str, template: str, tmp_path: Path, pool: str) -> None:
    with fresh_system(postgres, template) as system:
        system.start_everything("-P", pool)
        execution = system.wait(system.submit(stubborn("spins", timeout=0.3, retries=0)))
        assert system.satellite(execution["execution_id"], "long")["error_kind"] == "timeout"

        mark = tmp_path / "mark"
        execution_id = system.submit(stubborn("spins", config={"mark": str(mark)}))
        until(mark.exists)
        system.call("DELETE", f"/executions/{execution_id}")
        assert system.wait(system.submit({"name": "next", "uses": ECHO}))["status"] == "completed"
