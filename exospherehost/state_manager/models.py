"""Executions, satellites and log lines as the API returns them: JSON objects whose fields are attributes too."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Mapping

ExecutionStatus: TypeAlias = Literal["pending", "running", "completed", "failed", "cancelled"]
SatelliteStatus: TypeAlias = Literal["pending", "running", "completed", "failed", "skipped", "cancelled"]

FINISHED = frozenset({"completed", "failed", "cancelled"})
"""The states in which an execution has ended; a retry takes `failed` back to `running`."""


class JsonObject(dict[str, Any]):
    """A JSON object: `execution["status"]` and `execution.status` are the same.

    Fields that this version does not declare are kept. Times are ISO 8601 in UTC.
    """

    def __getattr__(self, name: str) -> Any:
        """Return a field; raises AttributeError where there is none of this name."""
        try:
            return self[name]
        except KeyError:
            raise AttributeError(f"{type(self).__name__} has no {name!r}") from None


class Execution(JsonObject):
    """One run of a cluster. In a list it has no `satellites`, `dependencies`, `results` and `output_omitted`."""

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
    """The reason of a failure that is no satellite's, such as the execution's timeout."""
    progress: dict[str, float]
    """Counts of satellites by state, and `percent`, from 0 to 100."""
    seq: int
    """The number of the latest event."""
    satellites: list[Satellite]
    dependencies: dict[str, list[str]]
    results: dict[str, Any]
    """Outputs, by name, of the satellites that nothing depends on."""
    output_omitted: bool
    """Whether the outputs are left out, being more than 1 MiB together; `get_satellite` returns each."""

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


class Satellite(JsonObject):
    """One unit of work. As part of an execution it has no `config`, `input`, `retry_policy`, `resource_usage`."""

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
    """The number of attempts started."""
    retries: int
    config: dict[str, Any]
    input: dict[str, Any]
    resource_usage: dict[str, Any] | None


class Secret(JsonObject):
    """A secret of a project, without its value, which no call returns."""

    name: str
    created_at: str
    updated_at: str


class Artifact(JsonObject):
    """Data that a satellite has kept. `uri`, `id`, `name`, `size`, `sha256` and `media_type` are its reference."""

    uri: str
    id: str
    name: str
    size: int
    sha256: str
    media_type: str
    execution_id: str
    satellite_id: str
    satellite: str
    """The satellite's name."""
    attempt: int
    created_at: str


class Signal(JsonObject):
    """A signal that was sent to an execution."""

    id: int
    execution_id: str
    name: str
    sent_at: str
    satellite_id: str | None
    """The satellite that waited for it; None where the signal is kept until one does."""


class LogLine(JsonObject):
    """A line that a satellite logged or printed."""

    at: str
    attempt: int
    level: str
    message: str
    satellite_id: str
    """Set by `execution_logs` only."""
    name: str
    """The satellite's; set by `execution_logs` only."""
