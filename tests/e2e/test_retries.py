"""Attempts are repeated as the policy says, and failed executions resume where they failed."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from typing import TYPE_CHECKING, Any

import pytest

from tests.waiting import until

if TYPE_CHECKING:
    from pathlib import Path

    from tests.system import System

QUICK = {"base_delay": 0.05, "jitter": False}


def flaky(failures: int, **fields: Any) -> dict[str, Any]:
    kind = fields.pop("kind", None)
    config = {"failures": failures} | ({"kind": kind} if kind else {})
    return {"name": "flaky", "uses": "satellite/test/flaky", "config": config, **fields}


def kinds(system: System, execution_id: str) -> list[str]:
    _, events = system.call("GET", f"/executions/{execution_id}/events?limit=200")
    return [event["kind"] for event in events["items"] if event["satellite_id"]]


def test_failed_attempts_are_repeated_and_each_error_stays_in_the_events(system: System) -> None:
    execution = system.wait(system.submit(flaky(2, retry_policy=QUICK | {"max_attempts": 3})))

    satellite = system.satellite(execution["execution_id"], "flaky")
    assert satellite["status"] == "completed"
    assert satellite["retries"] == 2
    assert satellite["error"] is None
    assert satellite["output"] == {"attempt": 3, "key": satellite["satellite_id"]}
    assert kinds(system, execution["execution_id"]) == [
        "started", "retrying", "started", "retrying", "started", "completed",
    ]  # fmt: skip
    _, events = system.call("GET", f"/executions/{execution['execution_id']}/events")
    errors = [event["data"]["error"] for event in events["items"] if event["kind"] == "retrying"]
    assert errors == ["TransientError: not yet"] * 2


def test_last_failure_fails_the_satellite(system: System) -> None:
    execution = system.wait(system.submit(flaky(5, retries=1, retry_policy=QUICK)))

    assert execution["status"] == "failed"
    assert system.satellite(execution["execution_id"], "flaky")["retries"] == 1


@pytest.mark.parametrize(
    ("fields", "attempts"),
    [
        ({"retry_policy": QUICK | {"max_attempts": 4, "retry_on": ["timeout"]}}, 1),
        ({"retry_policy": QUICK | {"max_attempts": 4, "retry_on": ["x-own"]}, "kind": "x-own"}, 4),
        ({"retry_policy": QUICK | {"max_attempts": 4, "retry_on": ["moody"]}, "kind": "moody"}, 4),
        ({"retry_policy": QUICK | {"max_attempts": 4}, "kind": "undeclared"}, 1),
        ({"retry_policy": QUICK | {"max_attempts": 4}, "kind": "configuration_error"}, 1),
        ({"retry_policy": QUICK | {"max_attempts": 2}, "retries": 5}, 2),
        ({"retry_policy": QUICK}, 3),
    ],
)
def test_policy_decides_what_is_repeated_and_how_often(system: System, fields: dict[str, Any], attempts: int) -> None:
    execution = system.wait(system.submit(flaky(9, **fields)))

    assert kinds(system, execution["execution_id"]).count("started") == attempts


def test_satellites_policy_fills_up_from_its_clusters(system: System) -> None:
    execution = system.wait(
        system.submit(flaky(9, retries=1), retry_policy=QUICK | {"max_attempts": 7, "max_delay": 9})
    )

    satellite = system.satellite(execution["execution_id"], "flaky")
    assert satellite["retry_policy"]["max_attempts"] == 2
    assert satellite["retry_policy"]["base_delay"] == 0.05
    assert satellite["retry_policy"]["max_delay"] == 9


def test_next_attempt_starts_no_sooner_than_the_policy_says(system: System) -> None:
    policy = {"base_delay": 1.2, "jitter": False, "backoff_strategy": "fixed"}

    execution = system.wait(system.submit(flaky(1, retry_policy=policy)))

    _, events = system.call("GET", f"/executions/{execution['execution_id']}/events")
    at = {event["kind"]: datetime.fromisoformat(event["at"]) for event in events["items"] if event["satellite_id"]}
    waited_s = (at["started"] - at["retrying"]).total_seconds()
    assert waited_s >= 1.2


def test_failed_execution_resumes_exactly_where_it_failed(system: System, tmp_path: Path) -> None:
    notes = tmp_path / "notes"
    gate = tmp_path / "gate"

    def note(name: str, *dependencies: str, **config: Any) -> dict[str, Any]:
        return {
            "name": name,
            "uses": "satellite/test/note",
            "config": {"file": str(notes), **config},
            "dependencies": list(dependencies),
        }

    execution_id = system.submit(
        note("a"),
        note("b", "a"),
        note("broken", "a", needs=str(gate)),
        note("behind", "broken"),
        note("join", "behind", "b"),
        note("cleanup", "join", "b") | {"run_when": "all_done"},
        retries=0,
    )
    assert system.wait(execution_id)["status"] == "failed"
    gate.touch()

    status, answer = system.call("POST", f"/executions/{execution_id}/retry")

    assert status == 202
    assert answer["status"] == "running"
    execution = system.wait(execution_id)
    assert execution["status"] == "completed"
    assert execution["progress"]["completed_satellites"] == 6
    ran = [line.split()[0] for line in notes.read_text().splitlines()]
    assert sorted(ran) == ["a", "b", "behind", "broken", "cleanup", "join"]
    assert system.call("POST", f"/executions/{execution_id}/retry")[0] == 409


def test_satellite_can_be_tried_again_while_its_execution_runs(system: System, tmp_path: Path) -> None:
    gate, mark = tmp_path / "gate", tmp_path / "mark"
    execution_id = system.submit(
        {"name": "long", "uses": "satellite/test/stubborn", "config": {"how": "asks", "mark": str(mark)}},
        {
            "name": "broken",
            "uses": "satellite/test/note",
            "config": {"file": str(tmp_path / "notes"), "needs": str(gate)},
        },
        {"name": "behind", "uses": "satellite/exospherehost/echo", "dependencies": ["broken"]},
        retries=0,
    )
    broken = until(
        lambda: system.statuses(execution_id)["broken"] == "failed" and system.satellite(execution_id, "broken")
    )
    gate.touch()

    assert system.call("POST", f"/satellites/{broken['satellite_id']}/retry")[0] == 202

    until(lambda: system.statuses(execution_id)["behind"] == "completed")
    assert system.call("POST", f"/satellites/{broken['satellite_id']}/retry")[0] == 409
    assert system.call("DELETE", f"/executions/{execution_id}")[0] == 202


def test_retrying_twice_at_once_runs_nothing_twice(system: System, tmp_path: Path) -> None:
    notes, gate = tmp_path / "notes", tmp_path / "gate"
    width = 300
    parts = [f"part-{at}" for at in range(width)]
    execution_id = system.submit(
        {"name": "first", "uses": "satellite/test/note", "config": {"file": str(notes), "needs": str(gate)}},
        *({"name": part, "uses": "satellite/exospherehost/echo", "dependencies": ["first"]} for part in parts),
        {"name": "last", "uses": "satellite/test/note", "config": {"file": str(notes)}, "dependencies": parts},
        retries=0,
    )
    assert system.wait(execution_id)["status"] == "failed"
    gate.touch()

    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(lambda _: system.call("POST", f"/executions/{execution_id}/retry")[0], range(4)))

    assert answers.count(202) >= 1
    assert set(answers) <= {202, 409}
    execution = system.wait(execution_id)
    assert execution["status"] == "completed"
    assert [line.split()[0] for line in notes.read_text().splitlines()] == ["first", "last"]
    assert all(one["attempt"] == 1 for one in execution["satellites"] if one["name"] in parts)
