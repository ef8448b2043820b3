"""Expire the attempts of workers whose session with PostgreSQL is gone."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from state_manager.maintenance.lost_attempts import expire
from state_manager.store import leases

if TYPE_CHECKING:
    from state_manager.maintenance.services import Services

BETWEEN_LOOKS_S = 0.5
"""A worker is lost when its session is missing at two looks so far apart: a reconnecting one is missing at one."""


def run_once(services: Services) -> int:
    """Expire what lost workers hold; return how many attempts that was."""
    engine = services.engine
    missing = leases.silent_sessions(engine)
    if not missing or not services.grace.is_over():
        return 0
    time.sleep(BETWEEN_LOOKS_S)
    lost = {session.worker for session in missing & leases.silent_sessions(engine)}
    if not lost or not services.grace.is_over():
        return 0
    count = expire(services.repairs, leases.held_by(engine, lost), "the worker that ran it is gone", lease_over=False)
    leases.deregister(engine, lost)
    return count
