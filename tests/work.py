"""Counting work instead of time: what must not grow faster than its input, on any machine."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import FrameType


def instructions(function: Callable[[], object]) -> int:
    """Count the bytecode instructions that this thread executes for a call."""
    count = 0

    def trace(frame: FrameType, event: str, _: object) -> Any:
        nonlocal count
        frame.f_trace_opcodes, frame.f_trace_lines = True, False
        count += event == "opcode"
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        function()
    finally:
        sys.settrace(before)
    return count


def growth(of_size: Callable[[int], Callable[[], object]], size: int) -> float:
    """Return how much more work twice the size is: 2 where it grows linearly, 4 where it grows with the square."""
    for warming in (1, 2):
        of_size(warming)()
    return instructions(of_size(2 * size)) / instructions(of_size(size))
