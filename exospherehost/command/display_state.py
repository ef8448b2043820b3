"""The state behind a live display: satellites that run, and those that ended most recently. No I/O."""

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
RECENT_COUNT = 5
"""The number of recently ended satellites that are shown."""


@dataclass(slots=True)
class RunningSatellite:
    """A running satellite: its start on the display's clock, and the progress that it reported last."""

    name: str
    since: float
    attempt: int | None = None
    fraction: float | None = None
    message: str = ""


@dataclass(frozen=True, slots=True)
class EndedAttempt:
    """An attempt that has ended; `kind` is the satellite's state since, or `retrying`."""

    name: str
    kind: str
    seconds: float | None
    error: str | None


@dataclass(slots=True)
class DisplayState:
    """The state of one execution, from its updates. `clock` returns seconds."""

    clock: Callable[[], float] = time.monotonic
    title: str = ""
    status: str = "pending"
    percent: float = 0.0
    total: int = 0
    since: float | None = None
    running: dict[str, RunningSatellite] = field(default_factory=dict)
    recent: deque[EndedAttempt] = field(default_factory=lambda: deque(maxlen=RECENT_COUNT))
    _statuses: dict[str, str] = field(default_factory=dict)

    @property
    def counts(self) -> Counter[str]:
        """The number of satellites in each state."""
        return Counter(self._statuses.values())

    def apply(self, update: Update) -> list[EndedAttempt]:
        """Apply an update, and return the attempts that ended with it."""
        self.status, self.percent = update.status, update.progress
        if update.kind == "snapshot" and update.execution is not None:
            return self._apply_snapshot(update.execution)
        if self.since is None and update.status == "running":
            self.since = self.clock()
        ended = None if update.satellite is None else self._apply_to_satellite(update.kind, update.satellite)
        return [] if ended is None else [ended]

    def _apply_snapshot(self, execution: Execution) -> list[EndedAttempt]:
        self.title = execution.cluster_id
        self.total = len(execution.satellites)
        self._statuses = {one.satellite_id: one.status for one in execution.satellites}
        self.since = self._clock_time(execution.started_at) if execution.started_at else None
        self.running = {
            one.satellite_id: RunningSatellite(one.name, self._clock_time(one.start_time), one.attempt)
            for one in execution.satellites
            if one.status == "running"
        }
        return [
            EndedAttempt(one.name, one.status, None if one.duration_ms is None else one.duration_ms / 1000, one.error)
            for one in execution.satellites
            if one.status == "failed"
        ]

    def _apply_to_satellite(self, kind: str, satellite: SatelliteUpdate) -> EndedAttempt | None:
        known = self.running.get(satellite.satellite_id)
        self._statuses[satellite.satellite_id] = satellite.status
        if satellite.status == "running":
            if known is None or kind == "started":
                known = RunningSatellite(satellite.name, self.clock(), satellite.attempt)
                self.running[satellite.satellite_id] = known
            if satellite.progress is not None:
                known.fraction, known.message = satellite.progress, satellite.message or ""
            return None
        self.running.pop(satellite.satellite_id, None)
        self.total = max(self.total, len(self._statuses))
        if satellite.status not in ENDED and kind != "retrying":
            return None
        seconds = satellite.duration_ms / 1000 if satellite.duration_ms is not None else None
        if seconds is None and known is not None:
            seconds = self.clock() - known.since
        outcome = satellite.status if satellite.status in ENDED else kind
        ended = EndedAttempt(satellite.name, outcome, seconds, satellite.error)
        self.recent.append(ended)
        return ended

    def _clock_time(self, moment: str | None) -> float:
        """Convert a time of the server to the display's clock; never later than now, where the two clocks disagree."""
        if moment is None:
            return self.clock()
        return self.clock() - max((datetime.now(UTC) - datetime.fromisoformat(moment)).total_seconds(), 0.0)
