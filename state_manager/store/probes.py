"""Probes: messages that are sent through a queue to find the satellites whose messages it has lost."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import text, update

from state_manager.store.tables import probes

if TYPE_CHECKING:
    from datetime import datetime

    from sqlalchemy import Engine

_DUE_PROBES = text("SELECT queue, sent_at FROM due_probes(:now)")


def due_probes(engine: Engine, now: datetime | None = None) -> list[tuple[str, datetime]]:
    """Record that a probe is sent through each queue that needs one now; return those queues and its moment."""
    with engine.connect() as connection:
        return [(row.queue, row.sent_at) for row in connection.execute(_DUE_PROBES, {"now": now})]


def answer_probe(engine: Engine, queue: str) -> None:
    """Record that a probe came out of its queue."""
    with engine.connect() as connection:
        connection.execute(update(probes).where(probes.c.queue == queue).values(unanswered=0))
