"""The workloads, the same for every system: graphs of tasks that do nothing, or compute a Fibonacci number."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from enum import StrEnum
from typing import Any

WARM_UP_SIZE = {"chain": 20, "fan": 20, "diamonds": 10, "front": 4}


class Shape(StrEnum):
    """The shape of a workload's graph; `size` counts a chain's or front's tasks, a fan's parts, or the diamonds."""

    CHAIN = "chain"
    FAN = "fan"  # one, then `size` side by side, then one that waits for them all
    DIAMONDS = "diamonds"  # of four tasks, each a workflow of its own, all submitted at once
    FRONT = "front"  # side by side


@dataclass(frozen=True, slots=True)
class Workload:
    """Tasks of one shape; each works out `fibonacci`, or nothing."""

    name: str
    title: str
    shape: Shape
    size: int
    fibonacci: int | None = None
    sleep_s: float | None = None
    """Seconds that each task sleeps instead, as if it waited for a service."""
    is_rate: bool = False
    """True if the result is given in tasks a second, not in seconds."""
    only: str | None = None
    """The only peer that runs it; None for all."""

    @property
    def tasks(self) -> int:
        """The number of tasks in all."""
        return {Shape.FAN: self.size + 2, Shape.DIAMONDS: 4 * self.size}.get(self.shape, self.size)

    def warm_up(self) -> Workload:
        """Return a small workload of the same kind."""
        return replace(self, size=min(self.size, WARM_UP_SIZE[self.shape]))

    def as_json(self) -> dict[str, Any]:
        """Write it as a peer's process reads it."""
        return asdict(self)


def read(document: dict[str, Any]) -> Workload:
    """Read what `as_json` wrote."""
    return Workload(**{**document, "shape": Shape(document["shape"])})


WORKLOADS = {
    one.name: one
    for one in (
        Workload("chain-40", "chain of 40", Shape.CHAIN, 40),
        Workload("chain-200", "chain of 200", Shape.CHAIN, 200),
        Workload("fan-100", "1 → 100 → 1", Shape.FAN, 100),
        Workload("fan-1000", "1 → 1,000 → 1", Shape.FAN, 1000),
        Workload("diamonds-200", "200 diamonds", Shape.DIAMONDS, 200, is_rate=True),
        Workload("fib10-40", "40 × fib(10)", Shape.CHAIN, 40, fibonacci=10),
        Workload("fib33-10", "10 × fib(33)", Shape.FRONT, 10, fibonacci=33),
        Workload("front-10000", "front of 10,000", Shape.FRONT, 10_000, is_rate=True, only="ours"),
    )
}


def fibonacci(n: int) -> int:
    """Compute a Fibonacci number by naive recursion, as benchmarks do."""
    return n if n < 2 else fibonacci(n - 1) + fibonacci(n - 2)


def work(n: int | None) -> int | None:
    """Do what one task does."""
    return None if n is None else fibonacci(n)
