"""Expire attempts whose lease was not renewed in time."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from state_manager.maintenance.lost_attempts import expire
from state_manager.maintenance.services import BATCH_SIZE
from state_manager.store import leases

if TYPE_CHECKING:
    from state_manager.maintenance.services import Services

FORGET_WORKERS_AFTER = timedelta(minutes=10)
"""Time of silence after which a worker that holds nothing is deregistered."""


def run_once(services: Services) -> int:
    """Expire attempts whose lease is over; return how many were."""
    leases.deregister_silent(services.engine, FORGET_WORKERS_AFTER)
    if not services.grace.is_over():
        return 0
    attempts = leases.overdue(services.engine, BATCH_SIZE, without=services.repairs.paused())
    if not attempts or not services.grace.is_over():
        return 0
    return expire(services.repairs, attempts, "its worker did not renew its lease", lease_over=True)
