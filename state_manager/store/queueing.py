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

_FIRE_DUE = text("SELECT id, execution_id, queue, identifier, dispatches, alone FROM fire_due(:limit, :now)")
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


def fire_due(engine: Engine, limit: int, now: datetime | None = None) -> list[Unsent]:
    """Make ready the satellites whose wait is over."""
    with engine.connect() as connection:
        return [Unsent(*row) for row in connection.execute(_FIRE_DUE, {"limit": limit, "now": now})]


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
