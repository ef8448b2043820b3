"""Recovery time after a kill of each part: `uv run python -m benchmarks.recovery`.

A chain of 40 × 50 ms runs on the system of `run.py`; after its fifth satellite some part is killed with -9, and the
supervisor starts it again. Printed is the longest gap between two starts of satellites, which holds the recovery
(0.05 s of it is the satellite itself), and how many attempts the 40 satellites took.
"""

from __future__ import annotations

import time
import urllib.error
from datetime import datetime
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import psutil

from benchmarks.server import FINISHED, POLL_S, Server, state_manager

if TYPE_CHECKING:
    from collections.abc import Callable

LINKS = 40
KILL_AFTER = 5


def chain() -> list[dict[str, Any]]:
    """Return 40 satellites of 50 ms, one after the other."""
    return [
        {
            "name": f"link-{at}",
            "uses": "satellite/exospherehost/sleep",
            "config": {"seconds": 0.05},
            "dependencies": [f"link-{at - 1}"] if at else [],
        }
        for at in range(LINKS)
    ]


def command_has(*words: str) -> Callable[[psutil.Process], bool]:
    """Choose processes by words of their command."""
    return lambda process: all(word in " ".join(process.cmdline()) for word in words)


is_worker = command_has("-m workers worker")


def is_child(process: psutil.Process) -> bool:
    """Choose the children of the prefork pool."""
    parent = process.parent()
    return is_worker(process) and parent is not None and is_worker(parent)


VICTIMS: dict[str, Callable[[psutil.Process], bool]] = {
    "both children of the worker": is_child,
    "the only worker, whole": is_worker,
    "Valkey": command_has("valkey-server"),
    "PostgreSQL": lambda process: process.name() == "postgres",
    "the API": command_has("gunicorn"),
    "beat": command_has("-m workers beat"),
    "everything but run.py": lambda _: True,
}


def look(server: Server, execution_id: str) -> dict[str, Any]:
    """Read the execution; retry while the API is unavailable."""
    while True:
        try:
            return server.call(f"/executions/{execution_id}")
        except (urllib.error.URLError, ConnectionError, TimeoutError):
            time.sleep(POLL_S)


def measure(server: Server, root: psutil.Process, is_victim: Callable[[psutil.Process], bool]) -> dict[str, Any]:
    """Kill in the middle of a chain; return the execution as it ended."""
    execution_id = server.submit(chain())
    while look(server, execution_id)["progress"]["completed_satellites"] < KILL_AFTER:
        time.sleep(POLL_S)
    for victim in [process for process in root.children(recursive=True) if is_victim(process)]:
        victim.kill()
    while (execution := look(server, execution_id))["status"] not in FINISHED:
        time.sleep(POLL_S)
    return execution


def main() -> None:
    """Print a line for each part that is killed."""
    with state_manager() as server:
        (root,) = [one for one in psutil.Process().children() if command_has("run.py")(one)]
        print(
            "| killed with -9 | ended | longest gap between starts, s | attempts of 40 satellites |\n|---|---|---|---|"
        )
        for name, is_victim in VICTIMS.items():
            execution = measure(server, root, is_victim)
            starts = sorted(datetime.fromisoformat(one["start_time"]) for one in execution["satellites"])
            gap_s = max((after - before).total_seconds() for before, after in pairwise(starts))
            attempts = sum(one["attempt"] for one in execution["satellites"])
            print(f"| {name} | {execution['status']} | {gap_s:.2f} | {attempts} |", flush=True)


if __name__ == "__main__":
    main()
