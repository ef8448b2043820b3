"""Each failpoint, armed once: the process that reaches it dies there, and nothing is lost or done twice."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import pytest

from state_manager.failpoints import Point
from tests.chaos.load import assert_nothing_is_lost, chain, execution_ids, fan, overlapping
from tests.system import System, fresh_system
from tests.waiting import until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.processes import Process

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(240)]

IN_THE_API = {Point.SUBMIT, Point.SUBMITTED}
IN_BEAT = {Point.REPAIRED}


class Parts:
    """The processes of a system, of which one has a failpoint armed."""

    def __init__(self, system: System, point: Point, action: str, once: Path) -> None:
        once.touch()
        armed = {"FAILPOINTS": f"{point}={action}@{once}"}
        self._system = system
        self._api = system.start_api(**(armed if point in IN_THE_API else {}))
        self._beat = system.start_beat(**(armed if point in IN_BEAT else {}))
        self._worker = system.start_worker(**({} if point in IN_THE_API | IN_BEAT else armed))

    def restart_dead(self) -> None:
        """Start again what is dead, without the failpoint."""
        if _is_dead(self._api):
            self._api = self._system.start_api()
        if _is_dead(self._beat):
            self._beat = self._system.start_beat()
        if _is_dead(self._worker):
            self._worker = self._system.start_worker()


def _is_dead(process: Process) -> bool:
    return process.returncode is not None


@pytest.fixture
def system(postgres: str, template: str) -> Iterator[System]:
    with fresh_system(postgres, template) as system:
        yield system


@pytest.mark.parametrize("point", Point)
def test_process_that_dies_at_a_failpoint_loses_nothing(system: System, tmp_path: Path, point: Point) -> None:
    once = tmp_path / "once"
    parts = Parts(system, point, "kill", once)
    flaky = {"name": "flaky", "uses": "satellite/test/flaky", "config": {"failures": 1}}
    keep = {"name": "keep", "uses": "satellite/test/keep", "config": {"bytes": 1000}}
    flaky["retry_policy"] = {"max_attempts": 2, "base_delay": 0.01}

    def submit(at: int, satellites: list[dict[str, Any]]) -> str | None:
        """Send it with a key of its own, as a client does that wants it once."""
        document = {"identifier": "test/failpoint", "satellites": satellites}
        try:
            status, answer = system.call("POST", "/executions", document, {"Idempotency-Key": str(at)})
        except OSError:
            parts.restart_dead()
            return None
        assert status in {200, 201}, answer
        return str(answer["execution_id"])

    ids = [
        until(partial(submit, at, satellites), what="it is accepted")
        for at, satellites in enumerate([chain(6, 0.02), fan(5), overlapping(), [flaky], [keep]])
    ]

    def completed() -> bool:
        parts.restart_dead()
        return not once.exists() and {system.execution(one)["status"] for one in ids} == {"completed"}

    until(completed, what=f"{point} is reached, and all is done")
    assert_nothing_is_lost(system, ids)
    assert {str(one) for one in execution_ids(system)} == set(ids)
