"""From what comes over a WebSocket to updates: each event once, in order. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from exospherehost.state_manager.documents import FINISHED, Execution
from exospherehost.state_manager.updates import SatelliteUpdate, Update

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from exospherehost.state_manager.documents import ExecutionStatus


class Gap(Exception):
    """An event is missing before this one."""


@dataclass(slots=True)
class Picture:
    """An execution as far as its events have come. `seq` is the last of them, None before the snapshot."""

    execution_id: str
    seq: int | None = None
    status: ExecutionStatus = "pending"
    percent: float = 0.0
    _attempts: dict[str, tuple[str, int]] = field(default_factory=dict)
    """Of each satellite its state and the latest attempt begun."""

    @property
    def ended(self) -> bool:
        """Whether the execution's last event is here."""
        return self.status in FINISHED

    def see(self, execution: Execution) -> Update:
        """Begin with how things are."""
        self.seq, self.status = execution.seq, execution.status
        self.percent = execution.progress["percent"]
        self._attempts = {one.satellite_id: (one.status, one.attempt) for one in execution.satellites}
        return self._update("snapshot", execution.updated_at, error=execution.error, execution=execution)

    def read(self, message: Mapping[str, Any]) -> Iterator[Update]:
        """Give the updates of one message, up to the last of the execution; what came before is left out.

        Raises Gap before an event that does not follow the one before it. Messages of unknown types say nothing.
        """
        match message["type"]:
            case "snapshot" if self.seq is None:
                yield self.see(Execution(message["execution"]))
            case "event":
                yield from self._follow([message])
            case "events":
                yield from self._follow(message["events"])
            case "progress" if self._is_news(message):
                yield self._hear(message)

    def _follow(self, events: list[Mapping[str, Any]]) -> Iterator[Update]:
        for event in events:
            if self.seq is None or event["seq"] > self.seq + 1:
                raise Gap(f"event {event['seq']} came after {self.seq}")
            if event["seq"] == self.seq + 1 and not self.ended:
                yield self._add(event)

    def _add(self, event: Mapping[str, Any]) -> Update:
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

    def _is_news(self, message: Mapping[str, Any]) -> bool:
        """Tell whether the attempt still runs that says so: a progress may come before its start, or after its end."""
        if self.seq is None or self.ended:
            return False
        status, attempt = self._attempts.get(message["satellite_id"], ("pending", 0))
        is_next = status == "pending" and message["attempt"] > attempt
        return is_next or (status == "running" and message["attempt"] >= attempt)

    def _hear(self, message: Mapping[str, Any]) -> Update:
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
    took = datetime.fromisoformat(data["end_time"]) - datetime.fromisoformat(data["start_time"])
    return took / timedelta(milliseconds=1)
