"""The queues that messages can be sent to."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import func, select, union

from state_manager.store.tables import probes, satellite_types, workers

if TYPE_CHECKING:
    from sqlalchemy import Engine


def known_queues(engine: Engine) -> set[str]:
    """List the queues of every registered satellite type and worker, and those that ever got a probe."""
    query = union(select(satellite_types.c.queue), select(func.unnest(workers.c.queues)), select(probes.c.queue))
    with engine.connect() as connection:
        return set(connection.execute(query).scalars())
