"""Log lines of satellites: append and read them."""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields
from typing import TYPE_CHECKING

from sqlalchemy import insert, select

from state_manager.store.tables import logs

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime
    from uuid import UUID

    from sqlalchemy import Engine


@dataclass(frozen=True, slots=True)
class LogRecord:
    """A line that a satellite logged during an attempt."""

    satellite_id: UUID
    attempt: int
    at: datetime
    level: str
    message: str


@dataclass(frozen=True, slots=True)
class LogLine(LogRecord):
    """A line that is in the store; later lines have greater ids."""

    id: int


def write_logs(engine: Engine, records: Sequence[LogRecord]) -> None:
    """Append lines that satellites logged."""
    with engine.connect() as connection:
        connection.execute(insert(logs), [asdict(record) for record in records])


def read_logs(engine: Engine, satellite_id: UUID, *, after: int, limit: int) -> list[LogLine]:
    """Read a satellite's log lines after the one with id `after`, oldest first."""
    columns = [logs.c[field.name] for field in fields(LogLine)]
    query = (
        select(*columns).where(logs.c.satellite_id == satellite_id, logs.c.id > after).order_by(logs.c.id).limit(limit)
    )
    with engine.connect() as connection:
        return [LogLine(*row) for row in connection.execute(query)]
