"""Recorded workflows compared with an ideal schedule: `uv run python -m benchmarks.schedules`.

The run times are scaled so that two workers need ten seconds for each workflow. The ideal is a greedy list schedule:
whoever is free takes what has been ready longest, and nothing costs any time but the work itself.
"""

from __future__ import annotations

import heapq

from benchmarks.server import state_manager
from benchmarks.workflows import WORKFLOWS, Satellites, load

WORKERS = 2
WORK_S = 10.0


def list_schedule_s(satellites: Satellites, workers: int) -> float:
    """Return the makespan of a greedy list schedule."""
    unmet = {one["name"]: len(one["dependencies"]) for one in satellites}
    seconds = {one["name"]: one["config"]["seconds"] for one in satellites}
    dependents: dict[str, list[str]] = {name: [] for name in unmet}
    for one in satellites:
        for name in one["dependencies"]:
            dependents[name].append(one["name"])
    ready = [name for name, count in unmet.items() if not count]
    running: list[tuple[float, str]] = []
    now = 0.0
    while ready or running:
        while ready and len(running) < workers:
            name = ready.pop(0)
            heapq.heappush(running, (now + seconds[name], name))
        now, done = heapq.heappop(running)
        for name in dependents[done]:
            unmet[name] -= 1
            if not unmet[name]:
                ready.append(name)
    return now


def main() -> None:
    """Print a row for each workflow."""
    print("| workflow | satellites | ideal, s | measured, s | times |\n|---|---|---|---|---|")
    with state_manager(workers=WORKERS) as server:
        for name in WORKFLOWS:
            satellites = load(name, workers=WORKERS, work_s=WORK_S)
            ideal_s, took_s = list_schedule_s(satellites, WORKERS), server.run(satellites)
            row = (name, len(satellites), f"{ideal_s:.2f}", f"{took_s:.2f}", f"{took_s / ideal_s:.2f}")
            print("|", " | ".join(map(str, row)), "|", flush=True)


if __name__ == "__main__":
    main()
