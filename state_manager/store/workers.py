"""The workers that are alive, as the API shows them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import func, select

from state_manager.store.tables import workers

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import timedelta

    from sqlalchemy import Engine, RowMapping


def live_workers(engine: Engine, within: timedelta) -> Sequence[RowMapping]:
    """List the workers that gave a sign of life lately, with their `age_s` since it."""
    age = func.extract("epoch", func.now() - workers.c.renewed_at).label("age_s")
    query = (
        select(workers, age)
        .where(workers.c.parent.is_(None), workers.c.renewed_at > func.now() - within)
        .order_by(workers.c.name)
    )
    with engine.connect() as connection:
        return connection.execute(query).mappings().all()
