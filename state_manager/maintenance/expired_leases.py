"""Take back attempts whose lease nobody has renewed in time."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from state_manager.maintenance.step import BATCH_SIZE
from state_manager.store import leases

if TYPE_CHECKING:
    from state_manager.maintenance.step import Services

FORGET_WORKERS_AFTER = timedelta(minutes=10)
"""A worker that was silent for so long and holds nothing is deregistered."""


def run_once(services: Services) -> int:
    """Expire attempts whose lease is over; return how many that was."""
    leases.deregister_silent(services.engine, FORGET_WORKERS_AFTER)
    if not leases.grace_is_over(services.engine):
        return 0
    attempts = leases.overdue(services.engine, BATCH_SIZE)
    return services.lifecycle.expire(attempts, "its worker did not renew its lease", lease_over=True)
