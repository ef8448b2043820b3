"""Waits for conditions, so that no test sleeps for a fixed time."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Literal, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")


def until(condition: Callable[[], T | Literal[False] | None], *, within_s: float = 60, what: str = "") -> T:
    """Return the first truthy value of the condition; fail the test when none comes in time."""
    deadline = time.monotonic() + within_s
    while not (value := condition()):
        if time.monotonic() > deadline:
            message = f"not within {within_s} s: {what or condition}"
            raise AssertionError(message)
        time.sleep(0.01)
    return value


def sleep(seconds: float) -> None:
    """Sleep for as long as a fault lasts, or between the requests of a load; never to wait for something to happen."""
    time.sleep(seconds)
