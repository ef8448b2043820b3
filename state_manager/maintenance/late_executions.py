"""Fail executions that run past their timeout."""

from __future__ import annotations

from typing import TYPE_CHECKING

from state_manager.maintenance.step import BATCH_SIZE
from state_manager.states import ExecutionStatus
from state_manager.store import executions

if TYPE_CHECKING:
    from state_manager.maintenance.step import Services


def run_once(services: Services) -> int:
    """Stop late executions and what runs in them; return how many that was."""
    late = executions.past_their_time(services.engine, BATCH_SIZE)
    for execution_id, timeout_s in late:
        error = f"the execution did not finish within its timeout of {timeout_s:g} s"
        services.lifecycle.stop(execution_id, ExecutionStatus.FAILED, error)
    return len(late)
