"""Correct the count of running executions, and admit those that wait while there is room."""

from __future__ import annotations

from typing import TYPE_CHECKING

from state_manager.store import admission

if TYPE_CHECKING:
    from state_manager.maintenance.step import Services


def run_once(services: Services) -> int:
    """Repair the admission and dispatch whom it lets in; return how many that was."""
    admitted = admission.repair_admission(services.engine, services.lifecycle.max_concurrent)
    services.lifecycle.dispatch_admitted(admitted)
    return len(admitted)
