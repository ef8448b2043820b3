"""Correct the count of running executions, and admit those that wait while there is room."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from state_manager.store import admission

if TYPE_CHECKING:
    from state_manager.maintenance.services import Services


def run_once(services: Services) -> int:
    """Repair the admission, and dispatch the executions that it admits; return how many those were."""
    lifecycle = services.lifecycle
    admitted = admission.repair_admission(services.engine, lifecycle.max_concurrent)
    for execution_id in admitted:
        services.repairs.attempt(execution_id, partial(lifecycle.dispatch_admitted, [execution_id]))
    return len(admitted)
