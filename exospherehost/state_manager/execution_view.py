"""A view of one execution, kept up to date by the messages of a WebSocket. Pure.

It turns messages into updates, each event once and in order.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from exospherehost.state_manager.models import FINISHED, Execution
from exospherehost.state_manager.updates import SatelliteUpdate, Update

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from exospherehost.state_manager.models import ExecutionStatus


class EventGap(Exception):
    """At least one event before this one is missing."""


@dataclass(slots=True)
class ExecutionView:
    """The state of an execution after event `seq`, which is None before the snapshot."""

    execution_id: str
    seq: int | None = None
    status: ExecutionStatus = "pending"
    percent: float = 0.0
    _attempts: dict[str, tuple[str, int]] = field(default_factory=dict)
    """The state and the latest attempt of each satellite, by id."""

    @property
    def is_finished(self) -> bool:
        """True if the execution has ended."""
        return self.status in FINISHED

    def apply_snapshot(self, execution: Execution) -> Update:
        """Replace the state by an execution as read from the API."""
        self.seq, self.status = execution.seq, execution.status
        self.percent = execution.progress["percent"]
        self._attempts = {one.satellite_id: (one.status, one.attempt) for one in execution.satellites}
        return self._update("snapshot", execution.updated_at, error=execution.error, execution=execution)

    def apply_message(self, message: Mapping[str, Any]) -> Iterator[Update]:
        """Apply a message and yield its updates. Ignores events seen before, events after the end, and unknown types.

        Raises EventGap at the first event that does not follow directly on the one before it.
        """
        match message["type"]:
            case "snapshot" if self.seq is None:
                yield self.apply_snapshot(Execution(message["execution"]))
            case "event":
                yield from self._apply_events([message])
            case "events":
                yield from self._apply_events(message["events"])
            case "progress" if self._is_of_present_attempt(message):
                yield self._progress_update(message)

    def _apply_events(self, events: list[Mapping[str, Any]]) -> Iterator[Update]:
        for event in events:
            if self.seq is None or event["seq"] > self.seq + 1:
                raise EventGap(f"event {event['seq']} came after {self.seq}")
            if event["seq"] == self.seq + 1 and not self.is_finished:
                yield self._apply_event(event)

    def _apply_event(self, event: Mapping[str, Any]) -> Update:
        self.seq, self.percent = event["seq"], event["progress"]
        data = event["data"] or {}
        if event["satellite_id"] is None:
            self.status = event["status"]
            return self._update(event["kind"], event["at"], error=data.get("error"))
        _, attempt = self._attempts.get(event["satellite_id"], ("", 0))
        self._attempts[event["satellite_id"]] = (event["status"], data.get("attempt", attempt))
        satellite = SatelliteUpdate(
            satellite_id=event["satellite_id"],
            name=event["name"],
            status=event["status"],
            attempt=data.get("attempt"),
            error=data.get("error"),
            duration_ms=_duration_ms(data),
        )
        return self._update(event["kind"], event["at"], satellite=satellite)

    def _is_of_present_attempt(self, message: Mapping[str, Any]) -> bool:
        """Tell whether the attempt that reports its progress is the present one, or the next.

        Progress has no place in the order of events: it may come before the attempt's start, and after its end.
        """
        if self.seq is None or self.is_finished:
            return False
        status, attempt = self._attempts.get(message["satellite_id"], ("pending", 0))
        is_next = status == "pending" and message["attempt"] > attempt
        return is_next or (status == "running" and message["attempt"] >= attempt)

    def _progress_update(self, message: Mapping[str, Any]) -> Update:
        satellite = SatelliteUpdate(
            satellite_id=message["satellite_id"],
            name=message["name"],
            status="running",
            attempt=message["attempt"],
            progress=message["progress"],
            message=message["message"],
        )
        return self._update("progress", message["at"], satellite=satellite)

    def _update(self, kind: str, at: str, **fields: Any) -> Update:
        return Update(
            execution_id=self.execution_id,
            kind=kind,
            status=self.status,
            progress=self.percent,
            seq=self.seq or 0,
            at=at,
            **fields,
        )


def _duration_ms(data: Mapping[str, Any]) -> float | None:
    if "start_time" not in data or "end_time" not in data:
        return None
    duration = datetime.fromisoformat(data["end_time"]) - datetime.fromisoformat(data["start_time"])
    return duration / timedelta(milliseconds=1)
