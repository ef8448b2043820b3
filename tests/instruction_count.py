"""Counts of executed bytecode instructions: how work grows with its input, without depending on the machine."""

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
    """Return the instructions for twice the size over those for the size: 2 for linear growth, 4 for quadratic."""
    for warming in (1, 2):
        of_size(warming)()
    return instructions(of_size(2 * size)) / instructions(of_size(size))
