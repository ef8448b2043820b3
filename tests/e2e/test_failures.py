"""The effect of a failing satellite on the others, and the places where its error can be read."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from tests.system import System

ECHO = "satellite/exospherehost/echo"
FAIL = "satellite/test/fail"


def one(name: str, uses: str = ECHO, *dependencies: str, **fields: Any) -> dict[str, Any]:
    return {"name": name, "uses": uses, "dependencies": list(dependencies), "retries": 0, **fields}


def test_failure_skips_descendants_and_leaves_independent_branches_running(system: System) -> None:
    execution = system.wait(
        system.submit(
            one("start"),
            one("fails", FAIL, "start"),
            one("behind", ECHO, "fails"),
            one("far-behind", ECHO, "behind"),
            one("beside", ECHO, "start"),
            one("beside-2", ECHO, "beside"),
            one("meets", ECHO, "far-behind", "beside-2"),
            one("cleans-up", ECHO, "meets", run_when="all_done"),
        )
    )

    assert execution["status"] == "failed"
    assert system.statuses(execution["execution_id"]) == {
        "start": "completed",
        "fails": "failed",
        "behind": "skipped",
        "far-behind": "skipped",
        "beside": "completed",
        "beside-2": "completed",
        "meets": "skipped",
        "cleans-up": "completed",
    }
    assert execution["progress"] == {
        "total_satellites": 8,
        "completed_satellites": 4,
        "failed_satellites": 1,
        "skipped_satellites": 3,
        "cancelled_satellites": 0,
        "percent": 100,
    }


def test_error_and_traceback_are_in_the_satellite_the_events_and_the_logs(system: System) -> None:
    execution = system.wait(system.submit(one("fails", FAIL, config={"message": "the disk is purple"})))

    satellite = system.satellite(execution["execution_id"], "fails")
    assert satellite["error"] == "ValueError: the disk is purple"
    assert satellite["error_kind"] == "logic_error"
    assert "tests/satellites.py" in satellite["traceback"]
    _, events = system.call("GET", f"/executions/{execution['execution_id']}/events")
    (failed,) = [event for event in events["items"] if event["kind"] == "failed" and event["satellite_id"]]
    assert failed["data"]["error"] == "ValueError: the disk is purple"
    assert "raise kinds" in failed["data"]["traceback"]
    _, logs = system.call("GET", f"/satellites/{satellite['satellite_id']}/logs")
    assert [line["level"] for line in logs["items"]] == ["error"]
    assert "ValueError: the disk is purple" in logs["items"][0]["message"]


@pytest.mark.parametrize("how", [{"how": "transient"}, {"how": "configuration"}, {}])
def test_error_kind_says_what_went_wrong(system: System, how: dict[str, str]) -> None:
    execution = system.wait(system.submit(one("fails", FAIL, config=how)))

    kinds = {"transient": "network_error", "configuration": "configuration_error"}
    assert system.satellite(execution["execution_id"], "fails")["error_kind"] == kinds.get(
        how.get("how", ""), "logic_error"
    )


@pytest.mark.parametrize("what", ["object", "nan", "nul", "surrogate", "large", "bytes", "set", "deep"])
def test_output_that_is_no_small_json_value_fails_its_satellite_as_a_configuration_error(
    system: System, what: str
) -> None:
    execution = system.wait(system.submit(one("odd", "satellite/test/return", config={"what": what})))

    satellite = system.satellite(execution["execution_id"], "odd")
    assert satellite["status"] == "failed"
    assert satellite["error_kind"] == "configuration_error"
    assert satellite["error"].startswith("ConfigurationError: the output ")


@pytest.mark.parametrize(("what", "value"), [("float", 1e300), ("backslash", "\\u0000")])
def test_output_comes_back_as_it_was_returned(system: System, what: str, value: object) -> None:
    execution = system.wait(system.submit(one("odd", "satellite/test/return", config={"what": what})))

    assert execution["results"] == {"odd": value}


def test_exit_in_a_satellite_is_its_failure_and_not_its_workers(system: System) -> None:
    execution = system.wait(system.submit(one("leaves", "satellite/test/exit"), one("stays")))

    assert system.statuses(execution["execution_id"]) == {"leaves": "failed", "stays": "completed"}


def test_fail_fast_skips_whatever_has_not_started(system: System) -> None:
    satellites = [one(f"later-{at}", "satellite/exospherehost/sleep", config={"seconds": 0.2}) for at in range(20)]

    execution = system.wait(system.submit(one("fails", FAIL), *satellites, failure_policy="fail_fast"))

    assert execution["status"] == "failed"
    statuses = system.statuses(execution["execution_id"])
    assert statuses.pop("fails") == "failed"
    assert set(statuses.values()) <= {"skipped", "cancelled", "completed"}
    assert list(statuses.values()).count("skipped") >= 15
