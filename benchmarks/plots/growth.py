"""Plot of `growth.json`: a panel for each part, with a line for each series."""

from __future__ import annotations

import json
import statistics
import sys
from pathlib import Path
from typing import Any

from benchmarks.plots import style


def lines(axes: Any, part: dict[str, Any]) -> None:
    """Draw the medians, with a line from the least to the greatest at each place."""
    for (title, points), color in zip(part["points"].items(), style.LINES, strict=False):
        places = list(range(len(points)))
        middles = [statistics.median(values) for values in points.values()]
        axes.plot(places, middles, "o-", color=color, label=title)
        axes.vlines(places, [min(one) for one in points.values()], [max(one) for one in points.values()], color=color)
    axes.set_xticks(places, [f"{int(at):,}" for at in points])
    axes.set_ylim(bottom=0)
    axes.set_xlabel(part["axis"])
    axes.set_title(part["unit"])
    axes.legend(frameon=False)


def main(folder: Path) -> None:
    """Draw the parts that were measured."""
    results = json.loads((folder / "growth.json").read_text())
    figure, axes = style.panels(len(results["parts"]), len(results["parts"]), 3.4)
    for one, part in zip(axes, results["parts"].values(), strict=True):
        lines(one, part)
    style.save(figure, folder, "growth")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
