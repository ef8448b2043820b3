"""What a watcher is given each time something happened."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from exospherehost.state_manager.documents import FINISHED

if TYPE_CHECKING:
    from exospherehost.state_manager.documents import Execution, ExecutionStatus, SatelliteStatus


@dataclass(frozen=True, slots=True, kw_only=True)
class SatelliteUpdate:
    """What happened to a satellite, or how far it says it is."""

    satellite_id: str
    name: str
    status: SatelliteStatus
    attempt: int | None = None
    progress: float | None = None
    """From 0 to 1, where the satellite said so just now."""
    message: str | None = None
    error: str | None = None
    """Why its attempt failed."""
    duration_ms: float | None = None
    """How long its last attempt took, where it has just ended."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Update:
    """Something happened in an execution; or, the first time, how things are."""

    execution_id: str
    kind: str
    """`snapshot`, `progress`, or the kind of the event, such as `started` or `completed`."""
    status: ExecutionStatus
    """The execution's, also where the update is about a satellite."""
    progress: float
    """How far the execution is, from 0 to 100: every satellite that has ended counts, however it did."""
    seq: int
    """Of the latest event."""
    at: str
    satellite: SatelliteUpdate | None = None
    """What this is about; None where it is about the execution."""
    error: str | None = None
    """Why the execution failed, where no satellite says so."""
    execution: Execution | None = field(default=None, repr=False)
    """All of it, as `get_execution` gives it: with the first update and with the last."""

    @property
    def is_final(self) -> bool:
        """Whether the execution has ended."""
        return self.status in FINISHED and self.satellite is None

    @property
    def results(self) -> dict[str, Any] | None:
        """The outputs by name of the satellites that nothing depends on; None before the execution has ended."""
        return self.execution.results if self.is_final and self.execution is not None else None
