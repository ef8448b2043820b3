"""A fan-out over a list found at run time beside a front of that size in the document: `python -m benchmarks.fan_out`.

Both have a satellite before and one behind, and are measured from the submission to the end that a client sees.
"""

from __future__ import annotations

import argparse
from statistics import median
from typing import Any

from benchmarks.server import state_manager

ECHO = "satellite/exospherehost/echo"


def static(width: int) -> list[dict[str, Any]]:
    """Return a front of so many satellites, and a join."""
    names = [f"each-{at}" for at in range(width)]
    return [
        {"name": "list", "uses": ECHO},
        *({"name": name, "uses": ECHO, "config": {"v": at}, "dependencies": ["list"]} for at, name in enumerate(names)),
        {"name": "last", "uses": "satellite/exospherehost/sleep", "config": {"seconds": 0}, "dependencies": names},
    ]


def dynamic(width: int, **config: Any) -> list[dict[str, Any]]:
    """Return a fan-out over so many items that the satellite before it returns."""
    return [
        {"name": "list", "uses": ECHO, "config": {"items": list(range(width))}},
        {
            "name": "each",
            "uses": ECHO,
            "config": config,
            "dependencies": ["list"],
            "for_each": "${{ satellites.list.output.config.items }}",
        },
        {
            "name": "last",
            "uses": "satellite/exospherehost/sleep",
            "config": {"seconds": 0},
            "dependencies": ["each"],
        },
    ]


def main() -> None:
    """Print the median seconds of each, and the ratios to the front."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.fan_out", description=__doc__)
    parser.add_argument("--width", type=int, default=5000)
    parser.add_argument("--rounds", type=int, default=5)
    asked = parser.parse_args()
    kinds = {
        "front in the document": static(asked.width),
        "fan-out, one value for all": dynamic(asked.width, v=1),
        "fan-out, an expression an item": dynamic(asked.width, v="${{ item }}"),
    }
    took: dict[str, list[float]] = {name: [] for name in kinds}
    with state_manager() as server:
        server.run(static(10))
        for _ in range(asked.rounds):
            for name, cluster in kinds.items():
                took[name].append(server.run(cluster))
    first = median(took["front in the document"])
    for name, seconds in took.items():
        print(f"{name:32} {median(seconds):6.2f} s  {median(seconds) / first:5.2f} ×")


if __name__ == "__main__":
    main()
