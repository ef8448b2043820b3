"""Satellites: read one, list those that are ready, count them by state; and the node of one in its graph."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any

from sqlalchemy import case, func, select

from state_manager.states import SatelliteStatus
from state_manager.store.tables import executions, satellites

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime
    from uuid import UUID

    from sqlalchemy import Engine

    from state_manager.states import RunWhen

INPUT_IN_FULL_BYTES = 64 * 1024 * 1024
"""Largest sum of its dependencies' outputs that is read with a satellite; PostgreSQL's JSON has a limit, too."""


@dataclass(frozen=True, slots=True)
class Node:
    """A satellite as the canvas sees it: its place in the graph and its queue."""

    id: UUID
    queue: str
    dependencies: tuple[UUID, ...]
    dependents: tuple[UUID, ...]


@dataclass(frozen=True, slots=True)
class Member:
    """A satellite as part of its execution."""

    id: UUID
    name: str
    identifier: str
    status: SatelliteStatus
    reason: str | None
    start_time: datetime | None
    end_time: datetime | None
    duration_ms: float | None
    error: str | None
    error_kind: str | None
    attempt: int
    dependencies: Sequence[UUID]
    dependents: Sequence[UUID]
    parent: UUID | None = None
    index: int | None = None
    output: Any = None


@dataclass(frozen=True, slots=True)
class Satellite:
    """A satellite in full, and how far its execution was at that moment, as in `executions.Head`."""

    id: UUID
    execution_id: UUID
    name: str
    identifier: str
    status: SatelliteStatus
    reason: str | None
    queue: str
    run_when: RunWhen
    config: dict[str, Any]
    input: dict[str, Any]
    output: Any
    error: str | None
    error_kind: str | None
    traceback: str | None
    dependencies: Sequence[UUID]
    parent: UUID | None
    index: int | None
    item: Any
    dynamic: dict[str, Any] | None
    not_before: datetime | None
    timeout_s: float | None
    retry_policy: dict[str, Any]
    max_attempts: int
    attempt: int
    start_time: datetime | None
    end_time: datetime | None
    duration_ms: float | None
    resource_usage: dict[str, Any] | None
    input_omitted: bool
    dependency_outputs: dict[str, Any] | None
    """By name; None, too, where `input_omitted`: they are too large together."""
    seq: int
    total: int
    completed: int
    failed: int
    skipped: int
    cancelled: int


_OF_ITS_EXECUTION = ("seq", "total", "completed", "failed", "skipped", "cancelled")


def get(engine: Engine, satellite_id: UUID) -> Satellite | None:
    """Read one satellite."""
    needed = satellites.alias()
    outputs = (
        select(func.json_object_agg(needed.c.name, needed.c.output))
        .where(needed.c.id == func.any(satellites.c.dependencies))
        .scalar_subquery()
    )
    omitted = satellites.c.input_bytes > INPUT_IN_FULL_BYTES
    of_its_own = [satellites.c[field.name] for field in fields(Satellite) if field.name in satellites.c]
    of_its_execution = [executions.c[name] for name in _OF_ITS_EXECUTION]
    columns = [*of_its_own, omitted, case((~omitted, outputs)), *of_its_execution]
    query = (
        select(*columns)
        .join(executions, executions.c.id == satellites.c.execution_id)
        .where(satellites.c.id == satellite_id)
    )
    with engine.connect() as connection:
        row = connection.execute(query).one_or_none()
    return None if row is None else Satellite(*row)


def ready(engine: Engine, execution_id: UUID) -> list[UUID]:
    """List the satellites of an execution that may start now, in the document's order."""
    query = (
        select(satellites.c.id)
        .where(satellites.c.execution_id == execution_id)
        .where(satellites.c.queued_at.is_not(None))
        .order_by(satellites.c.ordinal)
    )
    with engine.connect() as connection:
        return list(connection.execute(query).scalars())


def count_by_status(engine: Engine) -> dict[SatelliteStatus, int]:
    """Count satellites in each state, from what the executions have counted: there are far fewer of those."""
    ended = [SatelliteStatus.COMPLETED, SatelliteStatus.FAILED, SatelliteStatus.SKIPPED, SatelliteStatus.CANCELLED]
    running = select(func.count()).where(satellites.c.status == SatelliteStatus.RUNNING).scalar_subquery()
    query = select(*(func.coalesce(func.sum(executions.c[name]), 0) for name in ("total", *ended)), running)
    with engine.connect() as connection:
        total, *counts, running_now = connection.execute(query).one()
    return {
        SatelliteStatus.PENDING: total - sum(counts) - running_now,
        SatelliteStatus.RUNNING: running_now,
        **dict(zip(ended, counts, strict=True)),
    }
