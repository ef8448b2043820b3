"""Growth of the costs with load and data: `uv run python -m benchmarks.growth`.

The time of a satellite by the size of its cluster (10 to 10,000) and of the history (0 to 1,000,000 finished ones),
and the throughput by the number of the worker's children. The results go to `benchmarks/results`, or where `--out`
says: `growth.json`, `growth.md`, and a plot.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks import history, ours, plotting, table
from benchmarks.workloads import WORKLOADS, Shape, Workload

if TYPE_CHECKING:
    from collections.abc import Sequence

Points = dict[str, dict[str, list[float]]]
"""By the line's title and the place on the axis: the values of all rounds."""

SIZES = (10, 100, 1_000, 10_000)
HISTORIES = (0, 100_000, 1_000_000)
CHILDREN = (1, 2, 4)
SHAPES = (Workload("chain", "chain", Shape.CHAIN, 0), Workload("front", "front", Shape.FRONT, 0))
BESIDE_HISTORY = tuple(WORKLOADS[name] for name in ("chain-200", "fan-100", "diamonds-200"))
BY_CHILDREN = (
    WORKLOADS["fan-1000"],
    WORKLOADS["diamonds-200"],
    Workload("sleeps", "200 × sleep of 20 ms", Shape.FRONT, 200, sleep_s=0.02),
)


def clusters(runs: int, *, quick: bool) -> Points:
    """Return milliseconds a satellite, by the size of its cluster."""
    points: Points = {}
    with ours.start() as system:
        for shape in SHAPES:
            system.run(replace(shape, size=SIZES[1]))
        for _ in range(runs):
            for size in SIZES[: 3 if quick else None]:
                for shape in SHAPES:
                    seconds = system.run(replace(shape, size=size))
                    note(points, shape.title, size, 1000 * seconds / size)
    return points


def beside_history(runs: int, *, quick: bool) -> Points:
    """Return milliseconds a satellite, by the finished satellites in the tables; a system for each, by turns."""
    points: Points = {}
    with ExitStack() as stack:
        homes = {}
        for finished in HISTORIES[: 2 if quick else None]:
            folder = tempfile.TemporaryDirectory(prefix="bench-", ignore_cleanup_errors=True)
            homes[finished] = Path(stack.enter_context(folder))
            history.fill(homes[finished], finished)
        for _ in range(runs):
            for finished, home in homes.items():
                with ours.start(home=home) as system:
                    for workload in BESIDE_HISTORY:
                        system.run(workload.warm_up())
                        milliseconds = 1000 * system.run(workload) / workload.tasks
                        note(points, workload.title, finished, milliseconds)
    return points


def by_children(runs: int, *, quick: bool) -> Points:
    """Return satellites a second, by the worker's children."""
    points: Points = {}
    for _ in range(runs):
        for children in CHILDREN[: 2 if quick else None]:
            with ours.start(workers=children) as system:
                for workload in BY_CHILDREN:
                    system.run(workload.warm_up())
                    note(points, workload.title, children, workload.tasks / system.run(workload))
    return points


def note(points: Points, line: str, at: int, value: float) -> None:
    """Record a value, and print it."""
    points.setdefault(line, {}).setdefault(str(at), []).append(value)
    print(f"  {line}, {at:,}: {value:.2f}", file=sys.stderr, flush=True)


PARTS = {
    "clusters": (clusters, "satellites in the cluster", "ms a satellite"),
    "history": (beside_history, "finished satellites in the tables", "ms a satellite"),
    "children": (by_children, "children of the worker", "satellites/s"),
}


def main() -> None:
    """Measure, print the tables, and save the results."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--only", choices=PARTS, nargs="+", default=list(PARTS))
    parser.add_argument("--quick", action="store_true", help="one run, and not the longest")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results", metavar="FOLDER")
    arguments = parser.parse_args()
    runs = 1 if arguments.quick else arguments.runs
    results: dict[str, Any] = {"cores": os.cpu_count(), "runs": runs, "parts": {}}
    texts = []
    for name in arguments.only:
        measure, axis, unit = PARTS[name]
        points = measure(runs, quick=arguments.quick)
        results["parts"][name] = {"axis": axis, "unit": unit, "points": points}
        texts.append(as_table(f"{unit}, median [min–max], by {axis}", points))
        print(texts[-1] + "\n", flush=True)
    arguments.out.mkdir(parents=True, exist_ok=True)
    (arguments.out / "growth.md").write_text("\n\n".join(texts) + "\n")
    (arguments.out / "growth.json").write_text(json.dumps(results, indent=1, ensure_ascii=False))
    plotting.draw("growth", arguments.out)


def as_table(title: str, points: Points) -> str:
    """Return a Markdown table with a row for each line of the plot."""
    places: Sequence[str] = list(next(iter(points.values())))
    body = [[line, *(table.spread(values[at], 2) for at in places)] for line, values in points.items()]
    return table.rows([title, *(f"{int(at):,}" for at in places)], body)


if __name__ == "__main__":
    main()
