"""Recorded workflows of other engines, as clusters of satellites that sleep."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parent
WORKFLOWS = sorted(path.stem for path in FOLDER.glob("*.json"))

Satellites = list[dict[str, Any]]


def load(name: str, *, workers: int, work_s: float) -> Satellites:
    """Read a workflow; its run times are scaled so that they take this many workers `work_s` in all."""
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
