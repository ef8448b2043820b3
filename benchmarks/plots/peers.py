"""Plot of `peers.json`: a panel for each workload, with a dot for each peer."""

from __future__ import annotations

import json
import statistics
import sys
from pathlib import Path
from typing import Any

from benchmarks.plots import style

COLUMNS = 3


def dots(axes: Any, results: dict[str, Any], workload: str) -> None:
    """Draw the medians of a workload, the quickest on top, with a line from the least to the greatest."""
    took = {name: peer["seconds"][workload] for name, peer in results["peers"].items() if workload in peer["seconds"]}
    order = sorted(took, key=lambda name: -statistics.median(took[name]))
    for at, name in enumerate(order):
        seconds, color = took[name], style.OURS if name == "ours" else style.THEIRS
        middle = statistics.median(seconds)
        axes.plot([min(seconds), max(seconds)], [at, at], color=color, linewidth=2)
        axes.plot(middle, at, "o", color=color)
        axes.annotate(f"{middle:.3g}", (max(seconds), at), (6, 0), textcoords="offset points", va="center", color=color)
    axes.set_yticks(range(len(order)), [results["titles"][name] for name in order])
    axes.set_ylim(-0.5, max(len(order), 2) - 0.5)
    style.logarithmic(axes.xaxis, [one for seconds in took.values() for one in seconds])
    axes.set_xlabel("seconds, log scale")
    axes.set_title(results["workloads"][workload]["title"])


def main(folder: Path) -> None:
    """Draw the workloads that more than one peer has run."""
    results = json.loads((folder / "peers.json").read_text())
    measured = [
        name for name in results["workloads"] if sum(name in peer["seconds"] for peer in results["peers"].values()) > 1
    ]
    if not measured:
        return
    figure, axes = style.panels(len(measured), COLUMNS, 2.9)
    for one, name in zip(axes, measured, strict=True):
        dots(one, results, name)
    figure.suptitle(
        "From submission to the end that the client sees: median and range "
        f"(rounds: {results['runs']}, cores: {results['cores']})"
    )
    style.save(figure, folder, "peers")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
