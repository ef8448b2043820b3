"""Flower shows one task a satellite, under the satellite's id, failures as failures."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from typing import TYPE_CHECKING, Any

from tests.processes import free_port
from tests.waiting import until

if TYPE_CHECKING:
    from tests.system import System

ECHO = "satellite/exospherehost/echo"


def test_flower_shows_tasks_by_satellite_id_and_failures_as_failures(system: System) -> None:
    port = free_port()
    flower = system.start(
        "-m", "celery", "-A", "workers", "flower", f"--port={port}", "--address=127.0.0.1",
        FLOWER_UNAUTHENTICATED_API="true",
    )  # fmt: skip

    def tasks() -> dict[str, Any] | None:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/api/tasks?limit=100") as answer:
                return dict(json.load(answer))
        except (urllib.error.URLError, ConnectionError):
            assert flower.returncode is None, flower.output
            return None

    until(lambda: tasks() is not None, what="Flower answers")

    def run() -> dict[str, Any]:
        """Run a cluster; the first ones may pass before the worker has switched its events on."""
        return system.wait(
            system.submit(
                {"name": "good", "uses": ECHO},
                {"name": "bad", "uses": "satellite/test/fail", "dependencies": ["good"], "retries": 0},
                {"name": "part-1", "uses": ECHO, "dependencies": ["good"]},
                {"name": "part-2", "uses": ECHO, "dependencies": ["good"]},
                {"name": "join", "uses": ECHO, "dependencies": ["part-1", "part-2"]},
            )
        )

    def shown() -> dict[str, dict[str, Any]] | None:
        ids = {one["satellite_id"]: one["name"] for one in run()["satellites"]}

        def complete() -> dict[str, dict[str, Any]] | None:
            mine = {ids[uuid]: task for uuid, task in (tasks() or {}).items() if uuid in ids}
            ended = all(task["state"] in {"SUCCESS", "FAILURE"} for task in mine.values())
            return mine if len(mine) == len(ids) and ended else None

        try:
            return until(complete, within_s=2)
        except AssertionError:
            return None

    seen = until(shown, what="Flower shows every satellite of a run")

    assert {name: task["state"] for name, task in seen.items()} == {
        "good": "SUCCESS", "bad": "FAILURE", "part-1": "SUCCESS", "part-2": "SUCCESS", "join": "SUCCESS",
    }  # fmt: skip
    assert "it was told to fail" in seen["bad"]["exception"]
    assert "tests/satellites.py" in seen["bad"]["traceback"]
