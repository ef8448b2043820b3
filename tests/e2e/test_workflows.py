"""The recorded workflows run: once each, in order, and about as fast as they can."""

from __future__ import annotations

from collections import Counter
from datetime import datetime
from typing import TYPE_CHECKING

import pytest

from tests.e2e.schedules import WORKFLOWS, list_schedule_s, load

if TYPE_CHECKING:
    from tests.system import System

WORKERS = 2


@pytest.mark.parametrize("name", WORKFLOWS)
def test_recorded_workflow_runs_each_satellite_once_after_its_parents_near_the_ideal_schedule(
    system: System, name: str
) -> None:
    satellites = load(name, workers=WORKERS, work_s=2)

    execution = system.wait(system.submit(*satellites, identifier=f"recorded/{name}"))

    assert execution["status"] == "completed"
    ran = {one["name"]: one for one in execution["satellites"]}
    assert all(one["retries"] == 0 for one in ran.values())
    claimed = Counter(event["satellite_id"] for event in _events(system, execution["execution_id"], "started"))
    claimed.subtract(event["satellite_id"] for event in _events(system, execution["execution_id"], "released"))
    assert set(claimed.values()) == {1}
    assert len(claimed) == len(satellites)
    for one in satellites:
        for parent in one["dependencies"]:
            assert _moment(ran[parent]["end_time"]) <= _moment(ran[one["name"]]["start_time"])
    makespan_s = (
        max(_moment(one["end_time"]) for one in ran.values()) - _moment(execution["created_at"])
    ).total_seconds()
    ideal_s = list_schedule_s(satellites, WORKERS)
    assert makespan_s <= 1.3 * ideal_s + 0.005 * len(satellites), f"{makespan_s:.3f} s, ideal {ideal_s:.3f} s"


def _events(system: System, execution_id: str, kind: str) -> list[dict[str, str]]:
    found: list[dict[str, str]] = []
    after = 0
    while True:
        _, page = system.call("GET", f"/executions/{execution_id}/events?after={after}&limit=200")
        if not page["items"]:
            return [event for event in found if event["kind"] == kind and event["satellite_id"]]
        found += page["items"]
        after = int(found[-1]["seq"])


def _moment(text: str) -> datetime:
    return datetime.fromisoformat(text)
