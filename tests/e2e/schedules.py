"""Recorded workflows as clusters, and the schedule that a perfect engine would run them by."""

from __future__ import annotations

import heapq
import json
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parent.parent.parent / "benchmarks" / "workflows"
WORKFLOWS = sorted(path.stem for path in FOLDER.glob("*.json"))


def load(name: str, *, workers: int, work_s: float) -> list[dict[str, Any]]:
    """Read a recorded workflow as sleeping satellites, its run times scaled to `work_s` for so many workers."""
    tasks = json.loads((FOLDER / f"{name}.json").read_text())["tasks"]
    scale = work_s * workers / sum(task["runtime_s"] for task in tasks)
    return [
        {
            "name": task["name"],
            "uses": "satellite/exospherehost/sleep",
            "config": {"seconds": round(task["runtime_s"] * scale, 4)},
            "dependencies": task["parents"],
        }
        for task in tasks
    ]


def list_schedule_s(satellites: list[dict[str, Any]], workers: int) -> float:
    """Return the makespan of a greedy list schedule: whoever is free takes what has been ready longest."""
    unmet = {one["name"]: len(one["dependencies"]) for one in satellites}
    seconds = {one["name"]: one["config"]["seconds"] for one in satellites}
    behind: dict[str, list[str]] = {name: [] for name in unmet}
    for one in satellites:
        for name in one["dependencies"]:
            behind[name].append(one["name"])
    ready = [name for name, count in unmet.items() if not count]
    running: list[tuple[float, str]] = []
    now = 0.0
    while ready or running:
        while ready and len(running) < workers:
            name = ready.pop(0)
            heapq.heappush(running, (now + seconds[name], name))
        now, done = heapq.heappop(running)
        for name in behind[done]:
            unmet[name] -= 1
            if not unmet[name]:
                ready.append(name)
    return now
