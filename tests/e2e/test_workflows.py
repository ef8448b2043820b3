"""Workflows that others recorded run as they should: each satellite once, after its dependencies."""

from __future__ import annotations

from collections import Counter
from datetime import datetime
from typing import TYPE_CHECKING

import pytest

from benchmarks.workflows import WORKFLOWS, load

if TYPE_CHECKING:
    from tests.system import System


@pytest.mark.parametrize("name", WORKFLOWS)
def test_recorded_workflow_runs_each_satellite_once_after_its_dependencies(system: System, name: str) -> None:
    satellites = load(name, workers=2, work_s=1)

    execution = system.wait(system.submit(*satellites, identifier=f"recorded/{name}"))

    assert execution["status"] == "completed"
    ran = {one["name"]: one for one in execution["satellites"]}
    assert all(one["retries"] == 0 for one in ran.values())
    claimed = Counter(event["satellite_id"] for event in _events(system, execution["execution_id"], "started"))
    claimed.subtract(event["satellite_id"] for event in _events(system, execution["execution_id"], "released"))
    assert set(claimed.values()) == {1}
    assert len(claimed) == len(satellites)
    for one in satellites:
        for dependency in one["dependencies"]:
            assert _moment(ran[dependency]["end_time"]) <= _moment(ran[one["name"]]["start_time"])


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
