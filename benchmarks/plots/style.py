"""The style of the plots."""
# mypy: disable-error-code="import-not-found"

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import matplotlib as mpl

mpl.use("Agg")
import matplotlib.pyplot as plt
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

if TYPE_CHECKING:
    from pathlib import Path

OURS, THEIRS = "#d9480f", "#868e96"
LINES = ["#d9480f", "#1c7ed6", "#2b8a3e", "#862e9c"]
plt.rcParams.update({
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlesize": 10,
    "axes.titlelocation": "left",
    "svg.hashsalt": "benchmarks",
    "figure.constrained_layout.use": True,
})  # fmt: skip


def panels(count: int, columns: int, height: float) -> tuple[Any, list[Any]]:
    """Return a figure with this many axes."""
    rows = -(-count // columns)
    figure, axes = plt.subplots(rows, columns, figsize=(4.2 * columns, height * rows), squeeze=False)
    every = list(axes.flat)
    for unused in every[count:]:
        unused.axis("off")
    return figure, every[:count]


def logarithmic(axis: Any, values: list[float]) -> None:
    """Make an axis logarithmic, with room beside the values and numbers that people read."""
    axis.axes.set(**{f"{axis.axis_name}scale": "log", f"{axis.axis_name}lim": (min(values) / 1.6, max(values) * 2.2)})
    axis.set_major_locator(LogLocator(subs=(1.0, 3.0) if max(values) > 8 * min(values) else (1.0, 2.0, 5.0)))
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,g}"))
    axis.set_minor_formatter(NullFormatter())


def save(figure: Any, folder: Path, name: str) -> None:
    """Write a figure as PNG and as SVG."""
    figure.savefig(folder / f"{name}.png", dpi=130)
    figure.savefig(folder / f"{name}.svg", metadata={"Date": None})
