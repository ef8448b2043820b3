"""What the API responses, as schemas for its documentation; `presentation` makes the values."""

from __future__ import annotations

from marshmallow import Schema, fields

from state_manager.cluster import SLAS
from state_manager.states import ExecutionStatus, SatelliteStatus, SkipReason


def _one_of(values: object, *, nullable: bool = False) -> fields.String:
    return fields.String(metadata={"enum": [str(one) for one in values]}, allow_none=nullable)  # type: ignore[attr-defined]


class Fault(Schema):
    """One fault of a request."""

    path = fields.String(metadata={"description": "Where: `satellites[3].dependencies[0]`, or a query parameter"})
    message = fields.String()


class Error(Schema):
    """Every error of the API."""

    code = fields.Integer(metadata={"description": "The HTTP status"})
    status = fields.String(metadata={"description": "Its name"})
    message = fields.String(metadata={"description": "One line"})
    errors = fields.List(fields.Nested(Fault), metadata={"description": "Every fault, sorted by path"})


class Progress(Schema):
    """How far an execution is."""

    total_satellites = fields.Integer()
    completed_satellites = fields.Integer()
    failed_satellites = fields.Integer()
    skipped_satellites = fields.Integer()
    cancelled_satellites = fields.Integer()
    percent = fields.Float(metadata={"description": "Satellites that have ended, 0 to 100"})


class Member(Schema):
    """A satellite as part of its execution."""

    satellite_id = fields.UUID()
    name = fields.String()
    identifier = fields.String()
    status = _one_of(SatelliteStatus)
    reason = _one_of(SkipReason, nullable=True)
    start_time = fields.DateTime(allow_none=True)
    end_time = fields.DateTime(allow_none=True)
    duration_ms = fields.Float(allow_none=True)
    output = fields.Raw(allow_none=True, metadata={"description": "Absent where `output_omitted`"})
    error = fields.String(allow_none=True)
    error_kind = fields.String(allow_none=True)
    attempt = fields.Integer(metadata={"description": "Attempts begun, 0 before the first"})
    retries = fields.Integer(metadata={"description": "Attempts after the first"})


class ResourceUsage(Schema):
    """What an attempt used."""

    cpu_time = fields.Float(metadata={"description": "Seconds"})
    memory_peak = fields.Integer(metadata={"description": "Bytes"})
    gpu_time = fields.Float(allow_none=True, metadata={"description": "Seconds; null without a GPU"})


class Satellite(Member):
    """A satellite in full."""

    execution_id = fields.UUID()
    config = fields.Dict()
    input = fields.Dict(metadata={"description": "Outputs of the dependencies by name, under its own submitted input"})
    traceback = fields.String(allow_none=True)
    queue = fields.String()
    run_when = fields.String()
    timeout = fields.Float(allow_none=True, metadata={"description": "Seconds that an attempt may take"})
    max_attempts = fields.Integer(metadata={"description": "Raised by a retry from outside"})
    retry_policy = fields.Dict()
    not_before = fields.DateTime(allow_none=True, metadata={"description": "When the next attempt is due"})
    resource_usage = fields.Nested(ResourceUsage, allow_none=True)
    dependencies = fields.List(fields.UUID())


class ListedExecution(Schema):
    """An execution without its satellites."""

    execution_id = fields.UUID()
    cluster_id = fields.String(metadata={"description": "The `identifier` of the submitted cluster"})
    project = fields.String()
    status = _one_of(ExecutionStatus)
    created_at = fields.DateTime()
    updated_at = fields.DateTime()
    started_at = fields.DateTime(allow_none=True)
    finished_at = fields.DateTime(allow_none=True)
    sla = _one_of(SLAS)
    deadline = fields.DateTime()
    timeout = fields.Float(metadata={"description": "Seconds from its start, after which it fails"})
    error = fields.String(allow_none=True, metadata={"description": "Why it failed, where no satellite says so"})
    progress = fields.Nested(Progress)
    seq = fields.Integer(metadata={"description": "Of its last event"})


class Execution(ListedExecution):
    """An execution in full."""

    title = fields.String()
    description = fields.String()
    satellites = fields.List(fields.Nested(Member))
    dependencies = fields.Dict(keys=fields.UUID(), values=fields.List(fields.UUID()))
    results = fields.Dict(metadata={"description": "Outputs by name of the satellites that nothing depends on"})
    output_omitted = fields.Boolean(
        metadata={"description": "Outputs are left out once they are 1 MiB together; each satellite has its own"}
    )


class Executions(Schema):
    """A page of executions, newest first."""

    items = fields.List(fields.Nested(ListedExecution))
    next_cursor = fields.String(allow_none=True)


class Event(Schema):
    """An entry of an execution's event log."""

    seq = fields.Integer(metadata={"description": "Gapless within an execution, from 1"})
    execution_id = fields.UUID()
    satellite_id = fields.UUID(allow_none=True)
    name = fields.String(allow_none=True, metadata={"description": "The satellite's"})
    kind = fields.String()
    status = fields.String(metadata={"description": "The satellite's where there is one, else the execution's"})
    at = fields.DateTime()
    data = fields.Raw(allow_none=True)


class Events(Schema):
    """A page of events, oldest first."""

    items = fields.List(fields.Nested(Event))
    next_after = fields.Integer(allow_none=True, metadata={"description": "The next page's `after`"})


class Log(Schema):
    """A line that a satellite logged."""

    at = fields.DateTime()
    attempt = fields.Integer()
    level = fields.String()
    message = fields.String()


class Logs(Schema):
    """A page of log lines, oldest first."""

    items = fields.List(fields.Nested(Log))
    next_cursor = fields.String(allow_none=True)


class Summary(Schema):
    """The system at a glance."""

    executions = fields.Dict(keys=fields.String(), values=fields.Integer(), metadata={"description": "By status"})
    satellites = fields.Dict(keys=fields.String(), values=fields.Integer(), metadata={"description": "By status"})
    workers = fields.Integer(metadata={"description": "That gave a sign of life lately"})
    queues = fields.Dict(
        keys=fields.String(),
        values=fields.Integer(allow_none=True),
        metadata={"description": "Messages that wait in each queue; null while Redis does not answer"},
    )
    satellite_types = fields.List(fields.String())


class Dependency(Schema):
    """How a service that we depend on is doing."""

    status = fields.String(metadata={"enum": ["up", "down"]})
    latency_ms = fields.Float(allow_none=True)
    error = fields.String(metadata={"description": "Only where it is down"})


class Worker(Schema):
    """A worker that gave a sign of life lately."""

    name = fields.String()
    queues = fields.List(fields.String())
    started_at = fields.DateTime()
    age_s = fields.Float(metadata={"description": "Seconds since its last sign of life"})


class Queue(Schema):
    """Who consumes a queue."""

    consumers = fields.Integer()
    age_s = fields.Float(allow_none=True, metadata={"description": "Seconds since a consumer's last sign of life"})


class Health(Schema):
    """Whether everything that the system needs is there."""

    status = fields.String(metadata={"enum": ["healthy", "unhealthy"]})
    database = fields.Nested(Dependency)
    redis = fields.Nested(Dependency)
    workers = fields.List(fields.Nested(Worker))
    queues = fields.Dict(keys=fields.String(), values=fields.Nested(Queue))


class Verdict(Schema):
    """A probe's answer."""

    status = fields.String()
    reason = fields.String(metadata={"description": "Only where the answer is no"})
