"""`MAX_CONCURRENT_EXECUTIONS`: whatever ends an execution lets in the next one by itself, without the reconciler."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.system import System, fresh_system

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

ECHO = {"name": "echo", "uses": "satellite/exospherehost/echo"}


@pytest.fixture(scope="module")
def one_at_a_time(postgres: str, template: str) -> Iterator[System]:
    """Yield a system that runs one execution at a time. It has no beat, so nothing is repaired behind its back."""
    with fresh_system(postgres, template, MAX_CONCURRENT_EXECUTIONS="1") as system:
        system.start_worker()
        system.start_api()
        yield system


def waits_for(file: Path) -> dict[str, Any]:
    return {"name": "waits", "uses": "satellite/test/wait", "config": {"file": str(file)}}


def moment(system: System, execution_id: str, kind: str) -> str:
    """Return when an event of the execution itself happened."""
    _, page = system.call("GET", f"/executions/{execution_id}/events")
    (at,) = [one["at"] for one in page["items"] if one["satellite_id"] is None and one["kind"] == kind]
    return str(at)


def test_execution_that_completes_lets_in_the_next(one_at_a_time: System, tmp_path: Path) -> None:
    system, gate = one_at_a_time, tmp_path / "gate"
    first, second, third = system.submit(waits_for(gate)), system.submit(ECHO), system.submit(ECHO)
    assert [system.execution(one)["status"] for one in (first, second, third)] == ["running", "pending", "pending"]

    gate.touch()

    assert [system.wait(one)["status"] for one in (first, second, third)] == ["completed"] * 3
    for before, after in ((first, second), (second, third)):
        assert moment(system, before, "completed") <= moment(system, after, "started")


def test_execution_that_is_cancelled_lets_in_the_next(one_at_a_time: System, tmp_path: Path) -> None:
    system = one_at_a_time
    first, second = system.submit(waits_for(tmp_path / "never")), system.submit(ECHO)
    assert [system.execution(one)["status"] for one in (first, second)] == ["running", "pending"]

    assert system.call("DELETE", f"/executions/{first}")[0] == 202

    assert system.wait(second)["status"] == "completed"
    assert moment(system, first, "cancelled") <= moment(system, second, "started")
