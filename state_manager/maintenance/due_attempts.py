"""Send messages for satellites whose delay before the next attempt (backoff) is over."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from state_manager.failpoints import Point, reach
from state_manager.maintenance.services import BATCH_SIZE
from state_manager.store import queueing

if TYPE_CHECKING:
    from collections.abc import Collection
    from uuid import UUID

    from state_manager.maintenance.services import Services


def run_once(services: Services) -> int:
    """Make due satellites ready and send them; return how many were."""
    due = queueing.due(services.engine, BATCH_SIZE, without=services.repairs.paused())
    return sum(
        services.repairs.attempt(execution_id, partial(_fire, services, satellite_ids))
        for execution_id, satellite_ids in due.items()
    )


def _fire(services: Services, satellite_ids: Collection[UUID]) -> int:
    fired = queueing.fire_due(services.engine, satellite_ids)
    reach(Point.REPAIRED)
    services.dispatcher.send(fired)
    return len(fired)
