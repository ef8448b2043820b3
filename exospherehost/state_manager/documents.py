"""Executions, satellites and log lines as the API gives them: JSON objects whose fields are attributes too."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Mapping

ExecutionStatus: TypeAlias = Literal["pending", "running", "completed", "failed", "cancelled"]
SatelliteStatus: TypeAlias = Literal["pending", "running", "completed", "failed", "skipped", "cancelled"]

FINISHED = frozenset({"completed", "failed", "cancelled"})
"""The states in which an execution has ended; a retry takes `failed` back to `running`."""


class Document(dict[str, Any]):
    """A JSON object: `document["status"]` and `document.status` are the same.

    Fields that this version does not know are there too. Times are ISO 8601 in UTC.
    """

    def __getattr__(self, name: str) -> Any:
        """Give a field; raises AttributeError where there is none of this name."""
        try:
            return self[name]
        except KeyError:
            raise AttributeError(f"{type(self).__name__} has no {name!r}") from None


class Execution(Document):
    """One run of a cluster. A listed one has no `satellites`, `dependencies`, `results` and `output_omitted`."""

    execution_id: str
    cluster_id: str
    project: str
    status: ExecutionStatus
    created_at: str
    updated_at: str
    started_at: str | None
    finished_at: str | None
    sla: str
    deadline: str
    timeout: float
    error: str | None
    """Why it failed, where no satellite says so."""
    progress: dict[str, float]
    """Counts of satellites by state, and `percent`, from 0 to 100."""
    seq: int
    satellites: list[Satellite]
    dependencies: dict[str, list[str]]
    results: dict[str, Any]
    """Outputs by name of the satellites that nothing depends on."""
    output_omitted: bool
    """The outputs are more than 1 MiB together and left out; each satellite has its own."""

    def __init__(self, fields: Mapping[str, Any]) -> None:
        super().__init__(fields)
        if "satellites" in self:
            self["satellites"] = [Satellite(one) for one in self["satellites"]]

    def satellite(self, name: str) -> Satellite:
        """Find a satellite by its name; raises KeyError."""
        for one in self.satellites:
            if one.name == name:
                return one
        raise KeyError(name)


class Satellite(Document):
    """One unit of work. As part of an execution it has no `config`, `input` and what else concerns it alone."""

    satellite_id: str
    execution_id: str
    name: str
    identifier: str
    status: SatelliteStatus
    reason: str | None
    start_time: str | None
    end_time: str | None
    duration_ms: float | None
    output: Any
    error: str | None
    error_kind: str | None
    attempt: int
    """Attempts begun, 0 before the first."""
    retries: int
    config: dict[str, Any]
    input: dict[str, Any]
    resource_usage: dict[str, Any] | None


class LogLine(Document):
    """A line that a satellite logged or printed."""

    at: str
    attempt: int
    level: str
    message: str
