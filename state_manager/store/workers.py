"""The live workers, as the API lists them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from sqlalchemy import Double, cast, func, select

from state_manager.store.tables import workers

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime, timedelta
    from uuid import UUID

    from sqlalchemy import Engine


@dataclass(frozen=True, slots=True)
class Worker:
    """A worker, and the seconds since its last sign of life."""

    id: UUID
    pid: int
    name: str
    queues: Sequence[str]
    started_at: datetime
    age_s: float


def live_workers(engine: Engine, within: timedelta) -> list[Worker]:
    """List the workers that gave a sign of life within this time."""
    age_s = cast(func.extract("epoch", func.now() - workers.c.renewed_at), Double)
    columns = [*(workers.c[name] for name in ("id", "pid", "name", "queues", "started_at")), age_s]
    query = (
        select(*columns)
        .where(workers.c.parent.is_(None), workers.c.renewed_at > func.now() - within)
        .order_by(workers.c.name)
    )
    with engine.connect() as connection:
        return [Worker(*row) for row in connection.execute(query)]
