"""Executions: submit, stop, retry, read and list them."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any

from sqlalchemy import func, select, text

from state_manager.states import ExecutionStatus
from state_manager.store.satellites import Member
from state_manager.store.tables import executions, satellites

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence
    from datetime import datetime
    from uuid import UUID

    from sqlalchemy import Engine

RESULTS_IN_FULL_BYTES = 1024 * 1024
"""Largest sum of the outputs that are returned with an execution; above it, read them from the satellites."""

_SUBMIT = text("SELECT * FROM submit(CAST(:execution AS json), CAST(:satellites AS json), :max_concurrent, :now)")
_STOP = text("SELECT * FROM stop(:id, CAST(:status AS execution_status), :error, :max_concurrent, :now, :if_late)")
_RETRY = text("SELECT * FROM retry(:id, :satellite, :now)")


@dataclass(frozen=True, slots=True)
class Receipt:
    """The result of `submit`: the execution, whether it is new, and the hash of the document it was made from."""

    execution_id: UUID
    created: bool
    definition_hash: str
    status: ExecutionStatus
    seq: int
    created_at: datetime
    deadline: datetime


@dataclass(frozen=True, slots=True)
class Head:
    """An execution's progress: the seq of its last event, and how many of its satellites have ended, and how."""

    status: ExecutionStatus
    seq: int
    total: int
    completed: int
    failed: int
    skipped: int
    cancelled: int


@dataclass(frozen=True, slots=True)
class Execution:
    """An execution without its satellites."""

    id: UUID
    project: str
    cluster_id: str
    status: ExecutionStatus
    sla: str
    deadline: datetime
    timeout_s: float
    error: str | None
    seq: int
    total: int
    completed: int
    failed: int
    skipped: int
    cancelled: int
    created_at: datetime
    updated_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    definition: dict[str, Any] | None = None
    """The submitted document; None in a list."""


@dataclass(frozen=True, slots=True)
class Snapshot:
    """An execution and its satellites as they were at one moment, the one of `execution.seq`.

    The satellites have no `output` when `outputs_omitted`.
    """

    execution: Execution
    satellites: Sequence[Member]
    outputs_omitted: bool


@dataclass(frozen=True, slots=True)
class Filter:
    """The executions to list: newest first, those before the cursor, an execution's id."""

    project: str | None = None
    cluster_id: str | None = None
    status: ExecutionStatus | None = None
    created_after: datetime | None = None
    created_before: datetime | None = None
    cursor: UUID | None = None
    limit: int = 50


_LISTED = [executions.c[field.name] for field in fields(Execution) if field.name != "definition"]
_MEMBER = [satellites.c[field.name] for field in fields(Member) if field.name != "output"]


def submit(
    engine: Engine, execution: str, satellite_rows: str, *, max_concurrent: int, now: datetime | None = None
) -> Receipt:
    """Write the rows of a new execution, both given as JSON text; a known idempotency key writes nothing."""
    with engine.connect() as connection:
        answer = connection.execute(
            _SUBMIT,
            {"execution": execution, "satellites": satellite_rows, "max_concurrent": max_concurrent, "now": now},
        )
        row = answer.mappings().one()
    return Receipt(**row)


@dataclass(frozen=True, slots=True)
class Stopped:
    """The result of `stop`: the previous status (None: no such execution), whether it ended, which were admitted."""

    previous: ExecutionStatus | None
    stopped: bool
    admitted: tuple[UUID, ...]


@dataclass(frozen=True, slots=True)
class Retried:
    """The result of `retry`: the previous status (None: no such execution), what came back, what of it may start."""

    previous: ExecutionStatus | None
    revived: tuple[UUID, ...]
    ready: tuple[UUID, ...]


def stop(
    engine: Engine,
    execution_id: UUID,
    status: ExecutionStatus,
    *,
    max_concurrent: int,
    error: str | None = None,
    if_late: bool = False,
    now: datetime | None = None,
) -> Stopped:
    """End an execution from outside, as cancelled, or as failed with an error; `if_late`, if its time is over still."""
    parameters = {
        "id": execution_id,
        "status": status,
        "error": error,
        "max_concurrent": max_concurrent,
        "now": now,
        "if_late": if_late,
    }
    with engine.connect() as connection:
        row = connection.execute(_STOP, parameters).one()
    return Stopped(row.previous and ExecutionStatus(row.previous), row.stopped, tuple(row.admitted))


def retry(
    engine: Engine, execution_id: UUID, satellite_id: UUID | None = None, *, now: datetime | None = None
) -> Retried:
    """Put back what failed, or the one satellite that is named, with what was skipped for it alone."""
    with engine.connect() as connection:
        row = connection.execute(_RETRY, {"id": execution_id, "satellite": satellite_id, "now": now}).one()
    return Retried(row.previous and ExecutionStatus(row.previous), tuple(row.revived), tuple(row.ready))


def past_their_time(engine: Engine, limit: int, *, without: Collection[UUID] = ()) -> list[tuple[UUID, float]]:
    """List running executions that are past their time, with their timeouts in seconds; none of those in `without`."""
    query = (
        select(executions.c.id, executions.c.timeout_s)
        .where(executions.c.status == "running", executions.c.times_out_at <= func.clock_timestamp())
        .where(executions.c.id != func.all(list(without)))
        .limit(limit)
    )
    with engine.connect() as connection:
        return [(row.id, row.timeout_s) for row in connection.execute(query)]


def get(engine: Engine, execution_id: UUID) -> Snapshot | None:
    """Read an execution with its satellites, in one consistent view."""
    with engine.connect().execution_options(isolation_level="REPEATABLE READ") as connection:
        columns = [*_LISTED, executions.c.definition]
        query = select(*columns).where(executions.c.id == execution_id)
        row = connection.execute(query).one_or_none()
        if row is None:
            return None
        mine = satellites.c.execution_id == execution_id
        size = connection.execute(select(func.sum(satellites.c.output_bytes)).where(mine)).scalar_one()
        omitted = size > RESULTS_IN_FULL_BYTES
        columns = _MEMBER if omitted else [*_MEMBER, satellites.c.output]
        members = connection.execute(select(*columns).where(mine).order_by(satellites.c.ordinal)).all()
    return Snapshot(Execution(*row), [Member(*member) for member in members], omitted)


def progress(engine: Engine, execution_id: UUID) -> Head | None:
    """Read an execution's progress."""
    query = select(*(executions.c[field.name] for field in fields(Head))).where(executions.c.id == execution_id)
    with engine.connect() as connection:
        row = connection.execute(query).one_or_none()
    return None if row is None else Head(*row)


def find(engine: Engine, wanted: Filter) -> list[Execution]:
    """List executions, newest first, without their satellites; at most `limit` of them."""
    query = select(*_LISTED).order_by(executions.c.id.desc()).limit(wanted.limit)
    for column in ("project", "cluster_id", "status"):
        if (value := getattr(wanted, column)) is not None:
            query = query.where(executions.c[column] == value)
    if wanted.created_after is not None:
        query = query.where(executions.c.created_at >= wanted.created_after)
    if wanted.created_before is not None:
        query = query.where(executions.c.created_at < wanted.created_before)
    if wanted.cursor is not None:
        query = query.where(executions.c.id < wanted.cursor)
    with engine.connect() as connection:
        return [Execution(*row) for row in connection.execute(query)]


def count_by_status(engine: Engine) -> dict[ExecutionStatus, int]:
    """Count executions in each state."""
    query = select(executions.c.status, func.count()).group_by(executions.c.status)
    with engine.connect() as connection:
        return dict(connection.execute(query).all())
