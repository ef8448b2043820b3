"""Fail executions that run past their timeout."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from state_manager.maintenance.services import BATCH_SIZE
from state_manager.states import ExecutionStatus
from state_manager.store import executions

if TYPE_CHECKING:
    from uuid import UUID

    from state_manager.maintenance.services import Services


def run_once(services: Services) -> int:
    """Stop late executions and what runs in them; return how many were."""
    late = executions.past_their_time(services.engine, BATCH_SIZE, without=services.repairs.paused())
    return sum(
        services.repairs.attempt(execution_id, partial(_stop, services, execution_id, timeout_s))
        for execution_id, timeout_s in late
    )


def _stop(services: Services, execution_id: UUID, timeout_s: float) -> int:
    error = f"the execution did not finish within its timeout of {timeout_s:g} s"
    return int(services.lifecycle.stop(execution_id, ExecutionStatus.FAILED, error, if_late=True).stopped)
