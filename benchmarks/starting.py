"""Start-up time: `uv run python -m benchmarks.starting [TIMES]`.

From `uv run python run.py` to its line `ready on …`: on a new home, on the same home again, and again after
everything was killed with -9, when PostgreSQL has to recover.
"""

from __future__ import annotations

import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

import psutil

from benchmarks.server import ROOT, free_port

if TYPE_CHECKING:
    from collections.abc import Iterator
    from contextlib import AbstractContextManager

TIMES = 5


@contextmanager
def started(home: str) -> Iterator[tuple[float, subprocess.Popen[str]]]:
    """Start the system, and give the seconds until it is ready; what still runs in the end is killed."""
    environment = os.environ | {"PORT": str(free_port()), "EXOSPHERE_HOME": home, "LOG_LEVEL": "warning"}
    began = time.perf_counter()
    running = subprocess.Popen(
        ["uv", "run", "python", str(ROOT / "run.py")],
        cwd=ROOT,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    try:
        assert running.stdout is not None
        assert running.stdout.readline().startswith("ready on ")
        yield time.perf_counter() - began, running
    finally:
        if running.poll() is None:
            kill(running)


def stop(running: subprocess.Popen[str]) -> None:
    """Stop it in good order."""
    running.send_signal(signal.SIGTERM)
    running.wait()


def kill(running: subprocess.Popen[str]) -> None:
    """Kill all of it at once."""
    root = psutil.Process(running.pid)
    for process in (*root.children(recursive=True), root):
        with suppress(psutil.NoSuchProcess):
            process.kill()
    running.wait()


def homes() -> AbstractContextManager[str]:
    """Make a folder for a home."""
    return tempfile.TemporaryDirectory(prefix="bench-", ignore_cleanup_errors=True)


def measure(times: int) -> Iterator[tuple[str, list[float]]]:
    """Return the seconds of so many starts of each kind."""
    new: list[float] = []
    again: list[float] = []
    killed: list[float] = []
    for _ in range(times):
        with homes() as folder:
            home = str(Path(folder) / "home")
            for seconds in (new, again):
                with started(home) as (took, running):
                    seconds.append(took)
                    stop(running)
            with started(home):
                pass
            with started(home) as (took, running):
                killed.append(took)
                stop(running)
    yield "a new home", new
    yield "the same again", again
    yield "again after kill -9 of everything", killed


def main() -> None:
    """Print a row for each kind of start."""
    print("| start to ready on | median, s | least–greatest, s |\n|---|---|---|")
    for kind, seconds in measure(int(sys.argv[1]) if sys.argv[1:] else TIMES):
        print(f"| {kind} | {statistics.median(seconds):.1f} | {min(seconds):.1f}–{max(seconds):.1f} |")


if __name__ == "__main__":
    main()
