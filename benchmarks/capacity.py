"""Capacity model: which resource saturates first as workers are added. `uv run python -m benchmarks.capacity`.

A model of one PostgreSQL, one Redis and many workers, by what a satellite costs each of them in processor time, as
`docs/scaling.md` measured it on two cores. First it is held against throughputs that were measured on that machine,
then it is asked about more machines.
"""

from __future__ import annotations

from dataclasses import dataclass

MS = 0.001


@dataclass(frozen=True, slots=True)
class Load:
    """A kind of load: processor milliseconds that a satellite of it costs each part, and its own work."""

    name: str
    api_ms: float
    worker_ms: float
    postgres_ms: float
    redis_ms: float

    def on_one_machine(self, cores: int) -> float:
        """Return satellites a second where everything shares these cores."""
        return cores / ((self.api_ms + self.worker_ms + self.postgres_ms + self.redis_ms) * MS)

    def limits(self, postgres_cores: int, workers: int, work_ms: float) -> dict[str, float]:
        """Return the satellites a second at which each part saturates; the least is the capacity."""
        return {
            f"PostgreSQL, {postgres_cores} cores": postgres_cores / (self.postgres_ms * MS),
            "Redis, one thread": 1 / (self.redis_ms * MS),
            f"{workers} workers, {work_ms:g} ms of work": workers / ((self.worker_ms + work_ms) * MS),
        }


DIAMONDS = Load("diamonds, each an execution", 0.68, 0.63, 0.78, 0.05)
FRONT = Load("a front of 10,000", 0.05, 0.11, 0.064, 0.001)
LONG = Load("long satellites, a message each", 0.05, 3.5, 1.6, 0.2)

MEASURED = {DIAMONDS.name: (880, 940), FRONT.name: (6_900, 7_400)}
"""Satellites a second on the two cores, lowest and highest of five runs."""

FLEETS = (10, 100, 1_000)
POSTGRES_CORES = (8, 32)
SATELLITE_MS = 1_000


def main() -> None:
    """Print the model's results beside the measured ones, and its predictions for more machines."""
    print("| load | model, two cores, satellites/s | measured |\n|---|---|---|")
    for load in (DIAMONDS, FRONT):
        low, high = MEASURED[load.name]
        print(f"| {load.name} | {load.on_one_machine(2):,.0f} | {low:,}–{high:,} |")
    print(
        "\n| satellites of 1 s, a message each | runs out first | satellites/s | PostgreSQL full |\n|---|---|---|---|"
    )
    for workers in FLEETS:
        for cores in POSTGRES_CORES:
            limits = LONG.limits(cores, workers, SATELLITE_MS)
            first = min(limits, key=lambda name: limits[name])
            share = limits[first] * LONG.postgres_ms * MS / cores
            print(
                f"| {workers:,} workers, PostgreSQL on {cores} cores | {first} | {limits[first]:,.0f} | {share:.0%} |"
            )
    limits = LONG.limits(8, 1_000, 50)
    print(
        "\nThe same with satellites of 50 ms and 1,000 workers:",
        "; ".join(f"{name}: {rate:,.0f}/s" for name, rate in limits.items()),
    )


if __name__ == "__main__":
    main()
