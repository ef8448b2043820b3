"""Satellites that are ready and need a message: after a wait, after a lost message, or after a transition."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

from sqlalchemy import func, select, text, update

from state_manager.store.tables import satellites

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence
    from datetime import datetime
    from uuid import UUID

    from sqlalchemy import Engine

_DUE = text("SELECT execution_id, id FROM due(:limit, CAST(:without AS uuid[]), :now)")
_FIRE_DUE = text("SELECT id, execution_id, queue, identifier, dispatches, alone FROM fire_due(:ids, :now)")
_TAKE_LOST = text(
    "SELECT id, execution_id, queue, identifier, dispatches, alone FROM take_lost_messages(:queue, :before, :limit)"
)


@dataclass(frozen=True, slots=True)
class Unsent:
    """A ready satellite without a message; `dispatches` counts the messages that it had before."""

    id: UUID
    execution_id: UUID
    queue: str
    identifier: str
    dispatches: int
    alone: bool


def due(
    engine: Engine, limit: int, *, without: Collection[UUID] = (), now: datetime | None = None
) -> dict[UUID, list[UUID]]:
    """List satellites whose wait for the next attempt is over, by execution; at most `limit`, the earliest first."""
    parameters = {"limit": limit, "without": list(without), "now": now}
    found: dict[UUID, list[UUID]] = {}
    with engine.connect() as connection:
        for execution_id, satellite_id in connection.execute(_DUE, parameters):
            found.setdefault(execution_id, []).append(satellite_id)
    return found


def fire_due(engine: Engine, ids: Collection[UUID], now: datetime | None = None) -> list[Unsent]:
    """Make ready those of these satellites, all of one execution, whose wait is over."""
    with engine.connect() as connection:
        return [Unsent(*row) for row in connection.execute(_FIRE_DUE, {"ids": list(ids), "now": now})]


def take_lost_messages(engine: Engine, queue: str, before: datetime, limit: int) -> list[Unsent]:
    """Take the satellites of a queue whose messages are lost: ready since before, and still unclaimed."""
    with engine.connect() as connection:
        rows = connection.execute(_TAKE_LOST, {"queue": queue, "before": before, "limit": limit})
        return [Unsent(*row) for row in rows]


def unsent(engine: Engine, ids: Collection[UUID]) -> list[Unsent]:
    """Read what a message says for those of these satellites that are ready still."""
    if not ids:
        return []
    columns = [satellites.c[name] for name in ("id", "execution_id", "queue", "identifier", "dispatches", "alone")]
    query = select(*columns).where(satellites.c.id == func.any(list(ids)), satellites.c.queued_at.is_not(None))
    with engine.connect() as connection:
        return [Unsent(*row) for row in connection.execute(query.order_by(satellites.c.ordinal))]


def queue_later(engine: Engine, ids: Sequence[UUID], seconds: float) -> None:
    """Count these satellites, where they are ready still, as queued in so many seconds: sending them takes a while."""
    then = func.clock_timestamp() + timedelta(seconds=seconds)
    ready = (
        select(satellites.c.id)
        .where(satellites.c.id.in_(ids), satellites.c.queued_at.is_not(None))
        .with_for_update(key_share=True, skip_locked=True)  # whoever holds one is claiming it
    )
    statement = update(satellites).where(satellites.c.id.in_(ready))
    with engine.connect() as connection:
        connection.execute(statement.values(queued_at=then))
