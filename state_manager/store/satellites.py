"""Satellites, their logs and the shape of their graph, as they are read."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from sqlalchemy import case, func, insert, select

from state_manager.states import TERMINAL, SatelliteStatus
from state_manager.store.tables import executions, logs, satellites

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime
    from uuid import UUID

    from sqlalchemy import Engine, RowMapping

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
class LogRecord:
    """A line that a satellite logged during an attempt."""

    satellite_id: UUID
    attempt: int
    at: datetime
    level: str
    message: str


def get(engine: Engine, satellite_id: UUID) -> RowMapping | None:
    """Read one satellite, with `dependency_outputs` by name, and the `seq` and counts of its execution.

    Without those outputs where `input_omitted`: they are too large together.
    """
    needed = satellites.alias()
    outputs = (
        select(func.json_object_agg(needed.c.name, needed.c.output))
        .where(needed.c.id == func.any(satellites.c.dependencies))
        .scalar_subquery()
    )
    omitted = satellites.c.input_bytes > INPUT_IN_FULL_BYTES
    inputs = [omitted.label("input_omitted"), case((~omitted, outputs)).label("dependency_outputs")]
    query = (
        select(satellites, *inputs, *(executions.c[name] for name in ("seq", "total", *TERMINAL)))
        .join(executions, executions.c.id == satellites.c.execution_id)
        .where(satellites.c.id == satellite_id)
    )
    with engine.connect() as connection:
        return connection.execute(query).mappings().one_or_none()


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


def write_logs(engine: Engine, records: Sequence[LogRecord]) -> None:
    """Append lines that satellites logged."""
    rows = [
        {
            "satellite_id": record.satellite_id,
            "attempt": record.attempt,
            "at": record.at,
            "level": record.level,
            "message": record.message,
        }
        for record in records
    ]
    with engine.connect() as connection:
        connection.execute(insert(logs), rows)


def read_logs(engine: Engine, satellite_id: UUID, *, after: int, limit: int) -> Sequence[RowMapping]:
    """Read a satellite's log lines after the one with id `after`, oldest first."""
    query = select(logs).where(logs.c.satellite_id == satellite_id, logs.c.id > after).order_by(logs.c.id).limit(limit)
    with engine.connect() as connection:
        return connection.execute(query).mappings().all()
