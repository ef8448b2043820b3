"""A worker takes back at once what a dead child of its prefork pool held; nothing else repairs here."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from sqlalchemy import text

from tests.system import System, fresh_system
from tests.waiting import until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

STUBBORN = "satellite/test/stubborn"


@pytest.fixture(scope="module")
def system(postgres: str, template: str) -> Iterator[System]:
    """Yield a system without beat, one of whose children is there at a time."""
    with fresh_system(postgres, template) as system:
        system.start_worker("-c", "1")
        system.start_api()
        yield system


def children(system: System) -> list[int]:
    with system.engine.connect() as connection:
        return list(connection.execute(text("SELECT pid FROM workers WHERE parent IS NOT NULL")).scalars())


@pytest.mark.parametrize("how", ["kill", "exit", "segfault"])
def test_dead_childs_attempt_is_taken_back_by_its_parent(system: System, how: str) -> None:
    execution = system.wait(
        system.submit({"name": "dies", "uses": "satellite/test/die", "config": {"how": how}, "retries": 1}),
        within_s=10,
    )

    assert execution["results"] == {"dies": {"attempt": 2}}
    until(lambda: len(children(system)) == 1, what="only the living child is on the list of workers")


def test_cancelled_satellite_that_does_not_end_is_killed(system: System, tmp_path: Path) -> None:
    mark = tmp_path / "mark"
    execution_id = system.submit({"name": "long", "uses": STUBBORN, "config": {"how": "swallows", "mark": str(mark)}})
    until(mark.exists)

    system.call("DELETE", f"/executions/{execution_id}")

    following = system.submit({"name": "next", "uses": "satellite/exospherehost/echo"})
    assert system.wait(following, within_s=20)["status"] == "completed"


def test_satellite_of_a_batch_that_is_cancelled_before_its_turn_does_not_run(
    postgres: str, template: str, tmp_path: Path
) -> None:
    """Both are claimed at once, and stay with the worker: its slice lasts a minute."""
    with fresh_system(postgres, template, TIME_SLICE_MS="60000") as system:
        system.start_worker("-c", "1")
        system.start_api()
        ran, there, never = tmp_path / "ran", tmp_path / "there", tmp_path / "never"
        there.touch()
        known = {"name": "known", "uses": "satellite/test/wait", "config": {"file": str(there)}}
        system.wait(
            system.submit({"name": "noted", "uses": "satellite/test/note", "config": {"file": str(ran)}}, known)
        )
        execution_id = system.submit(
            {"name": "short", "uses": "satellite/test/note", "config": {"file": str(ran)}},
            {"name": "first", "uses": "satellite/test/wait", "config": {"file": str(never)}, "dependencies": ["short"]},
            {"name": "second", "uses": "satellite/test/note", "config": {"file": str(ran)}, "dependencies": ["short"]},
        )
        until(lambda: set(system.statuses(execution_id).values()) == {"completed", "running"})

        system.call("DELETE", f"/executions/{execution_id}")

        other = system.submit({"name": "other", "uses": "satellite/test/note", "config": {"file": str(ran)}})
        system.wait(other)
        assert [line.split()[0] for line in ran.read_text().splitlines()] == ["noted", "short", "other"]
