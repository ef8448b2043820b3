"""The satellites of the benchmarks: `nothing`, `fibonacci` and `gate`."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks import workloads
from exospherehost import satellite

if TYPE_CHECKING:
    from exospherehost import Context


@satellite("satellite/bench/nothing")
def nothing(_: Context) -> None:
    """Do nothing."""


@satellite("satellite/bench/fibonacci")
def fibonacci(context: Context) -> int:
    """Work out a Fibonacci number."""
    return workloads.fibonacci(context.config["n"])


@satellite("satellite/bench/gate")
def gate(context: Context) -> None:
    """Wait until a file is there."""
    while not Path(context.config["file"]).exists():
        time.sleep(0.02)
