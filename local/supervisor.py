"""The supervisor: starts the parts in order, restarts those that die, and stops all of them in reverse."""

from __future__ import annotations

import subprocess
import time
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from local.processes import Part, kill_group, kill_processes_of_home, spawn

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from local.stop_signal import StopSignal

FIRST_RESTART_DELAY_S, MAX_RESTART_DELAY_S = 0.1, 10.0
CHECK_INTERVAL_S = 60.0
"""The longest time between two checks; SIGCHLD announces a death in between."""
HEALTHY_S = 10.0
"""A part that has run this long is restarted without counting its earlier deaths."""
CONFIGURATION_FAULT = 2
"""The exit code of a part that cannot run as configured: a restart would end the same way."""


@dataclass(slots=True)
class RunningPart:
    """A part and its present process."""

    part: Part
    process: subprocess.Popen[bytes]
    started_at: float
    deaths: int = 0
    """Deaths in a row."""
    restart_at: float | None = None
    """The time at which its next process is due, while it has none."""

    @property
    def misconfigured(self) -> bool:
        """True if its last process ended because of its configuration."""
        return self.restart_at is not None and self.process.returncode == CONFIGURATION_FAULT


@dataclass(slots=True)
class Supervisor:
    """The parts of one home."""

    home: Path
    log: Callable[[str], None]
    clock: Callable[[], float] = time.monotonic
    running: list[RunningPart] = field(default_factory=list)

    def start(self, part: Part) -> None:
        """Start a part; those that it needs come first."""
        self.running.append(RunningPart(part, spawn(part, self.home), self.clock()))

    def restart_dead_parts(self) -> float:
        """Restart parts that died, after a growing delay; return the seconds until the next restart or check.

        A part that dies meanwhile wakes `StopSignal.wait`.
        """
        for one in self.running:
            now = self.clock()
            if one.restart_at is None and one.process.poll() is not None:
                self._plan_restart(one, now)
            if one.restart_at is not None and one.restart_at <= now:
                self._restart(one, now)
        due = [one.restart_at for one in self.running if one.restart_at is not None]
        return max(min(due) - self.clock(), 0) if due else CHECK_INTERVAL_S

    def _plan_restart(self, one: RunningPart, now: float) -> None:
        kill_group(one.process.pid)
        one.deaths = 1 if now - one.started_at > HEALTHY_S else one.deaths + 1
        one.restart_at = now + min(FIRST_RESTART_DELAY_S * 2 ** (one.deaths - 1), MAX_RESTART_DELAY_S)

    def _restart(self, one: RunningPart, now: float) -> None:
        self.log(f"{one.part.name} ended with {one.process.returncode}; restarted (deaths in a row: {one.deaths})")
        one.process, one.started_at, one.restart_at = spawn(one.part, self.home), now, None

    def misconfigured(self) -> RunningPart | None:
        """Return a part that ended because of its configuration, if there is one."""
        return next((one for one in self.running if one.misconfigured), None)

    def most_deaths(self) -> RunningPart | None:
        """Return the part that died most often in a row, if any did."""
        return max((one for one in self.running if one.deaths), key=lambda one: one.deaths, default=None)

    def stop(self, stop_signal: StopSignal | None = None) -> None:
        """Stop everything, the last started first, and leave no process behind.

        Each further stop signal ends the wait for a part, which gets its next signal at once.
        """
        while self.running:
            stop_part(self.running.pop(), stop_signal)
        kill_processes_of_home(self.home)


def stop_part(one: RunningPart, stop_signal: StopSignal | None) -> None:
    """Send the part its signals to stop, one after the other, then kill what is left of its process group."""
    if one.restart_at is not None:
        return  # dead already, and its number may be another's by now
    for number, seconds in one.part.stop:
        if one.process.poll() is None:
            signals_so_far = stop_signal.count if stop_signal else 0
            one.process.send_signal(number)
            wait_for_exit(one.process, seconds, stop_signal, signals_so_far)
    kill_group(one.process.pid)
    one.process.wait()


def wait_for_exit(
    process: subprocess.Popen[bytes], seconds: float, stop_signal: StopSignal | None, signals_so_far: int
) -> None:
    """Wait until a process ends, at most this long, and only until a further stop signal."""
    if stop_signal is None:
        with suppress(subprocess.TimeoutExpired):
            process.wait(seconds)
        return
    deadline = time.monotonic() + seconds
    while process.poll() is None and stop_signal.count == signals_so_far and (left := deadline - time.monotonic()) > 0:
        stop_signal.pause(left)
