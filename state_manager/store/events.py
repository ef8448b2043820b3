"""The event log of executions: the audit trail, and what watchers catch up from."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import select

from state_manager.store.tables import events, executions, satellites

if TYPE_CHECKING:
    from collections.abc import Sequence
    from uuid import UUID

    from sqlalchemy import Engine, RowMapping


def read(engine: Engine, execution_id: UUID, *, after: int, limit: int) -> Sequence[RowMapping] | None:
    """Read an execution's events with seq > `after`, in order; None where there is no such execution."""
    query = (
        select(events, satellites.c.name)
        .outerjoin(satellites, satellites.c.id == events.c.satellite_id)
        .where(events.c.execution_id == execution_id, events.c.seq > after)
        .order_by(events.c.seq)
        .limit(limit)
    )
    with engine.connect() as connection:
        rows = connection.execute(query).mappings().all()
        if rows or connection.execute(select(executions.c.id).where(executions.c.id == execution_id)).first():
            return rows
    return None
