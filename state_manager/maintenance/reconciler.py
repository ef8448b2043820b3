"""The reconciler: compares the actual state with the desired one, and repairs the difference.

Level-triggered and idempotent: each step may run at any time, twice at once, or late; that costs time, nothing
else. `run_once` is one round; Celery beat's process runs it again and again (`workers/beat.py`).
"""

from __future__ import annotations

import logging
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

from state_manager.maintenance import (
    admission,
    due_attempts,
    expired_leases,
    late_executions,
    lost_messages,
    lost_workers,
    stuck,
)
from state_manager.store.outages import is_outage

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from state_manager.maintenance.services import Services

STEPS: Mapping[str, Callable[[Services], int]] = {
    "lost": lost_workers.run_once,
    "overdue": expired_leases.run_once,
    "due": due_attempts.run_once,
    "timed_out": late_executions.run_once,
    "admitted": admission.run_once,
    "stuck": stuck.run_once,
    "probed": lost_messages.run_once,
}

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Reconciler:
    """Runs the steps, one after the other."""

    services: Services

    def run_once(self) -> Counter[str]:
        """Run each step once, in bounded batches; return how much each of them found to do, and how much `failed`.

        Raises what the driver raises in an outage. Any other error ends its step alone, or one execution's part of it.
        """
        repaired: Counter[str] = Counter()
        self.services.grace.start_round()
        for name, step in STEPS.items():
            try:
                repaired[name] = step(self.services)
            except Exception as error:
                if is_outage(error):
                    raise
                # One step that fails must not hold up the others.
                _log.exception("the step %r failed, and is tried again in the next round", name)
                repaired["failed"] += 1
        repaired["failed"] += self.services.repairs.take_failed()
        return repaired
