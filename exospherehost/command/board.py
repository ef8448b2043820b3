"""What runs in an execution, and what has ended lately: the state behind a live display. No I/O."""

from __future__ import annotations

import time
from collections import Counter, deque
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from exospherehost.state_manager import Execution, SatelliteUpdate, Update

ENDED = frozenset({"completed", "failed", "skipped", "cancelled"})
KEPT = 5
"""So many of those that ended lately are shown."""


@dataclass(slots=True)
class Running:
    """A satellite that runs: since when by the board's clock, and what it said last."""

    name: str
    since: float
    attempt: int | None = None
    fraction: float | None = None
    message: str = ""


@dataclass(frozen=True, slots=True)
class Ended:
    """A satellite that has ended, or whose attempt has."""

    name: str
    kind: str
    seconds: float | None
    error: str | None


@dataclass(slots=True)
class Board:
    """Follows updates. `clock` gives seconds."""

    clock: Callable[[], float] = time.monotonic
    title: str = ""
    status: str = "pending"
    percent: float = 0.0
    total: int = 0
    since: float | None = None
    running: dict[str, Running] = field(default_factory=dict)
    recent: deque[Ended] = field(default_factory=lambda: deque(maxlen=KEPT))
    _states: dict[str, str] = field(default_factory=dict)

    @property
    def counts(self) -> Counter[str]:
        """How many satellites are in each state."""
        return Counter(self._states.values())

    def take(self, update: Update) -> list[Ended]:
        """Take an update in; return the attempts that it tells the end of."""
        self.status, self.percent = update.status, update.progress
        if update.kind == "snapshot" and update.execution is not None:
            return self._begin(update.execution)
        if self.since is None and update.status == "running":
            self.since = self.clock()
        ended = None if update.satellite is None else self._follow(update.kind, update.satellite)
        return [] if ended is None else [ended]

    def _begin(self, execution: Execution) -> list[Ended]:
        self.title = execution.cluster_id
        self.total = len(execution.satellites)
        self._states = {one.satellite_id: one.status for one in execution.satellites}
        self.since = self._since(execution.started_at) if execution.started_at else None
        self.running = {
            one.satellite_id: Running(one.name, self._since(one.start_time), one.attempt)
            for one in execution.satellites
            if one.status == "running"
        }
        return [
            Ended(one.name, one.status, None if one.duration_ms is None else one.duration_ms / 1000, one.error)
            for one in execution.satellites
            if one.status == "failed"
        ]

    def _follow(self, kind: str, satellite: SatelliteUpdate) -> Ended | None:
        known = self.running.get(satellite.satellite_id)
        if satellite.status == "running":
            if known is None or kind == "started":
                known = self.running[satellite.satellite_id] = Running(satellite.name, self.clock(), satellite.attempt)
            if satellite.progress is not None:
                known.fraction, known.message = satellite.progress, satellite.message or ""
            self._states[satellite.satellite_id] = "running"
            return None
        self.running.pop(satellite.satellite_id, None)
        self._states[satellite.satellite_id] = satellite.status
        self.total = max(self.total, len(self._states))
        if satellite.status not in ENDED and kind != "retrying":
            return None
        seconds = satellite.duration_ms / 1000 if satellite.duration_ms is not None else None
        if seconds is None and known is not None:
            seconds = self.clock() - known.since
        ended = Ended(satellite.name, kind, seconds, satellite.error)
        self.recent.append(ended)
        return ended

    def _since(self, moment: str | None) -> float:
        """Bring a time of the server to our clock; where the two disagree, nothing began in the future."""
        if moment is None:
            return self.clock()
        return self.clock() - max((datetime.now(UTC) - datetime.fromisoformat(moment)).total_seconds(), 0.0)
