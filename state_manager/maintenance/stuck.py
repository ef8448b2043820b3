"""Find and repair stuck executions, checking one idle execution a round. A healthy system has none."""

from __future__ import annotations

import logging
from datetime import timedelta
from typing import TYPE_CHECKING

from state_manager.store import stuck

if TYPE_CHECKING:
    from uuid import UUID

    from state_manager.maintenance.services import Services

IDLE_FOR = timedelta(seconds=30)
"""Time without a change after which an execution is looked at."""

_log = logging.getLogger(__name__)


def run_once(services: Services) -> int:
    """Check the next idle execution, and repair it; return how many faults it had."""
    engine, cursor = services.engine, services.cursor
    execution_id = stuck.idle_execution(engine, cursor.last, IDLE_FOR)
    cursor.last = execution_id
    if execution_id is None:
        return 0
    return services.repairs.attempt(execution_id, lambda: _check(services, execution_id))


def _check(services: Services, execution_id: UUID) -> int:
    faults = stuck.faults_of(services.engine, execution_id)
    if not faults.any():
        return 0
    _log.error("execution %s is stuck, which should not happen: %s", execution_id, faults)
    max_concurrent = services.lifecycle.max_concurrent
    wrong, settled = stuck.repair(services.engine, execution_id, max_concurrent=max_concurrent)
    services.lifecycle.notifier.notify_watchers(execution_id, ended=settled.ended is not None)
    services.lifecycle.dispatch_settled(settled)
    return wrong
