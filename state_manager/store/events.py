"""The event log of executions: an audit trail, from which watchers also read the events that they missed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sqlalchemy import func, select, text

from state_manager.progress import EXPANDED, ended_by
from state_manager.store.tables import events, executions, satellites

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime
    from uuid import UUID

    from sqlalchemy import Engine

_AFTER = text("""
    SELECT e.execution_id, e.seq, e.satellite_id, e.kind, e.status, e.at, e.data, s.name
    FROM unnest(CAST(:ids AS uuid[]), CAST(:seqs AS bigint[])) AS known(id, seq)
    CROSS JOIN LATERAL (
        SELECT * FROM events WHERE execution_id = known.id AND seq > known.seq ORDER BY seq LIMIT :limit
    ) AS e
    LEFT JOIN satellites s ON s.id = e.satellite_id
    ORDER BY e.execution_id, e.seq
""")


@dataclass(frozen=True, slots=True)
class Event:
    """A change of an execution, or of the one of its satellites that is named."""

    execution_id: UUID
    seq: int
    satellite_id: UUID | None
    kind: str
    status: str
    at: datetime
    data: dict[str, Any] | None
    name: str | None


def read(engine: Engine, execution_id: UUID, *, after: int, limit: int) -> list[Event] | None:
    """Read an execution's events with seq > `after`, in order; None where there is no such execution."""
    query = (
        select(events, satellites.c.name)
        .outerjoin(satellites, satellites.c.id == events.c.satellite_id)
        .where(events.c.execution_id == execution_id, events.c.seq > after)
        .order_by(events.c.seq)
        .limit(limit)
    )
    with engine.connect() as connection:
        rows = [Event(*row) for row in connection.execute(query)]
        if rows or connection.execute(select(executions.c.id).where(executions.c.id == execution_id)).first():
            return rows
    return None


def after(engine: Engine, known: Mapping[UUID, int], limit: int) -> list[Event]:
    """Read the events of several executions, of each those with seq > the one known, in order, at most `limit`."""
    parameters = {"ids": list(known), "seqs": list(known.values()), "limit": limit}
    with engine.connect() as connection:
        return [Event(*row) for row in connection.execute(_AFTER, parameters)]


def added_between(engine: Engine, execution_id: UUID, seq: int, last: int) -> int:
    """Count the satellites that were added to an execution by its events after `seq`, up to `last`."""
    query = select(events.c.data).where(
        events.c.execution_id == execution_id, events.c.seq > seq, events.c.seq <= last, events.c.kind == EXPANDED
    )
    with engine.connect() as connection:
        return sum(data["children"] for data in connection.execute(query).scalars())


def ended_at(engine: Engine, execution_id: UUID, seq: int) -> int:
    """Count the satellites that had ended by an execution's event numbered `seq`."""
    query = (
        select(events.c.kind, func.count())
        .where(events.c.execution_id == execution_id, events.c.seq <= seq, events.c.satellite_id.is_not(None))
        .group_by(events.c.kind)
    )
    with engine.connect() as connection:
        return sum(ended_by(kind) * count for kind, count in connection.execute(query))
