"""The time and the memory that an expression may take."""

from __future__ import annotations

from time import thread_time
from typing import Any

LIMIT_S = 1.0
"""Processor time of one expression. A process that was stopped or starved meanwhile must not fail its satellites."""

WORK = 64 * 2**20
"""Units of work of one expression: about as many bytes made, or nanoseconds in calls that cannot be interrupted."""

BETWEEN_CHECKS = 256
"""Steps, of about 0.3 µs, between two looks at the clock, which takes up to 3 µs."""

UNITS_A_STEP = 256


class Exhausted(Exception):
    """An expression takes more than it may."""


class Budget:
    """The remaining time and memory of an expression; it may take `limit_s` of processor time from now."""

    def __init__(self, limit_s: float = LIMIT_S, work: int = WORK) -> None:
        self.limit_s = limit_s
        self._deadline = thread_time() + limit_s
        self._work = work
        self._steps = BETWEEN_CHECKS

    def step(self) -> None:
        """Count a step; raises Exhausted when the time is over."""
        self._steps -= 1
        if self._steps <= 0:
            self._look()

    def charge(self, units: int) -> None:
        """Count work before it is done; raises Exhausted when it is too much."""
        self._work -= units
        if self._work < 0:
            raise Exhausted("takes more memory than an expression may")
        self._steps -= units // UNITS_A_STEP
        if self._steps <= 0:
            self._look()

    def charge_tree(self, value: Any, each: int = 1) -> None:
        """Count `each` units for every character that a value has as JSON."""
        self.charge(each * self.size(value, self._work // each))

    def used_s(self) -> float:
        """Return the processor time that was taken, in seconds."""
        return self.limit_s - (self._deadline - thread_time())

    def size(self, value: Any, most: int) -> int:
        """Return how many characters a value has as JSON, at least; stops counting beyond `most`.

        What occurs many times in it counts as often: `[@, @]` piped 22 times is a small graph, and 4 million values.
        """
        size, left = 0, [value]
        while left and size <= most:
            self.step()
            one = left.pop()
            if isinstance(one, str):
                size += 2 + len(one)
            elif isinstance(one, dict):
                size += 2 + 4 * len(one) + sum(map(len, one))
                left.extend(one.values())
            elif isinstance(one, list):
                size += 2 + len(one)
                left.extend(one)
            else:
                size += 1
        return size

    def _look(self) -> None:
        self._steps = BETWEEN_CHECKS
        if thread_time() > self._deadline:
            raise Exhausted(f"takes more than {self.limit_s:g} s")
