"""Send satellites whose wait before the next attempt is over."""

from __future__ import annotations

from typing import TYPE_CHECKING

from state_manager.failpoints import Point, reach
from state_manager.maintenance.step import BATCH_SIZE
from state_manager.store import queueing

if TYPE_CHECKING:
    from state_manager.maintenance.step import Services


def run_once(services: Services) -> int:
    """Make due satellites ready and send them; return how many that was."""
    due = queueing.fire_due(services.engine, BATCH_SIZE)
    reach(Point.REPAIRED)
    services.dispatcher.send(due)
    return len(due)
