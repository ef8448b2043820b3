"""The updates that a watcher receives."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from exospherehost.state_manager.models import FINISHED

if TYPE_CHECKING:
    from exospherehost.state_manager.models import Execution, ExecutionStatus, SatelliteStatus


@dataclass(frozen=True, slots=True, kw_only=True)
class SatelliteUpdate:
    """A change of a satellite's state, or a report of its progress."""

    satellite_id: str
    name: str
    status: SatelliteStatus
    attempt: int | None = None
    progress: float | None = None
    """From 0 to 1; only in a report of progress."""
    message: str | None = None
    error: str | None = None
    """The error of a failed attempt."""
    duration_ms: float | None = None
    """The duration of an attempt that has just ended."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Update:
    """One event of an execution, a report of progress, or the snapshot that a watch starts with."""

    execution_id: str
    kind: str
    """`snapshot`, `progress`, or the kind of the event, such as `started` or `completed`."""
    status: ExecutionStatus
    """The execution's, also where the update is about a satellite."""
    progress: float
    """The percentage of satellites that have ended, whether completed, failed, skipped or cancelled."""
    seq: int
    """The number of the latest event."""
    at: str
    satellite: SatelliteUpdate | None = None
    """The satellite that the update is about; None where it is about the execution."""
    error: str | None = None
    """The reason of a failure that is no satellite's, such as the execution's timeout."""
    execution: Execution | None = field(default=None, repr=False)
    """The execution as `get_execution` returns it, in the snapshot and in the final update."""

    @property
    def is_final(self) -> bool:
        """True if this is the last update of the execution."""
        return self.status in FINISHED and self.satellite is None

    @property
    def results(self) -> dict[str, Any] | None:
        """Outputs, by name, of the satellites that nothing depends on; None before the execution has ended."""
        return self.execution.results if self.is_final and self.execution is not None else None
