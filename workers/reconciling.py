"""The reconciler as this process has it: with its database, and Celery to send for it."""

from __future__ import annotations

from state_manager.config import settings
from state_manager.reconciler import Reconciler
from workers import dispatch, process


def reconciler() -> Reconciler:
    """Return a reconciler for this process; it keeps no state of its own."""
    return Reconciler(process.engine(), dispatch, max_concurrent=settings().max_concurrent_executions)
