"""Isolated repairs of executions: one that fails delays no other, and is not retried for ever."""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from state_manager.states import ExecutionStatus
from state_manager.store.outages import DATABASE_ERRORS, describe, is_outage

if TYPE_CHECKING:
    from collections.abc import Callable
    from uuid import UUID

    from state_manager.lifecycle import Lifecycle

TRIES = 5
"""Failures in a row of one execution's repairs after which it is stopped."""

FIRST_PAUSE_S = 1.0
LONGEST_PAUSE_S = 300.0

FORGET_AFTER_S = 3600.0
"""A failure that has not come again for this long does not count any more."""

_log = logging.getLogger(__name__)


@dataclass(slots=True)
class _Failures:
    count: int = 0
    paused_until: float = 0


@dataclass(slots=True)
class Repairs:
    """Counts failures by execution, in memory: another process, or this one restarted, counts anew."""

    lifecycle: Lifecycle
    clock: Callable[[], float] = time.monotonic
    _failed: int = 0
    _failures: dict[UUID, _Failures] = field(default_factory=dict)

    def take_failed(self) -> int:
        """Return how many repairs have failed since the last call."""
        failed, self._failed = self._failed, 0
        return failed

    def paused(self) -> list[UUID]:
        """List the executions to leave out for now: in a bounded batch they would take the place of others."""
        now = self.clock()
        for execution_id in [one for one, at in self._failures.items() if at.paused_until < now - FORGET_AFTER_S]:
            del self._failures[execution_id]
        return [one for one, failures in self._failures.items() if failures.paused_until > now]

    def attempt(self, execution_id: UUID, repair: Callable[[], int | None]) -> int:
        """Repair an execution, and return what the repair does, or 0 where it fails or is paused.

        After each failure it is paused for longer. After `TRIES` that the database refused, the execution is stopped
        as failed; where even that fails it is tried again every few minutes. Raises only in an outage.
        """
        if execution_id in self.paused():
            return 0
        try:
            done = repair()
        except Exception as error:
            if is_outage(error):
                raise
            _log.exception("the repair of execution %s failed", execution_id)
            self._pause(execution_id, error)
            return 0
        self._failures.pop(execution_id, None)
        return done or 0

    def _pause(self, execution_id: UUID, error: Exception) -> None:
        failures = self._failures.setdefault(execution_id, _Failures())
        failures.count += 1
        failures.paused_until = self.clock() + min(FIRST_PAUSE_S * 2.0 ** (failures.count - 1), LONGEST_PAUSE_S)
        self._failed += 1
        if failures.count >= TRIES and isinstance(error, DATABASE_ERRORS):
            self._stop(execution_id, error)

    def _stop(self, execution_id: UUID, error: Exception) -> None:
        why = f"it could not be repaired in {TRIES} tries: {describe(error)}"
        try:
            self.lifecycle.stop(execution_id, ExecutionStatus.FAILED, why)
        except Exception as refused:
            if is_outage(refused):
                raise
            _log.exception("execution %s can neither be repaired nor stopped", execution_id)
        else:
            del self._failures[execution_id]
            _log.error("stopped execution %s: %s", execution_id, why)
