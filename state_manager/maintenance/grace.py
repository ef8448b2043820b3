"""The grace period in which no worker counts as lost: after a start of PostgreSQL, or a suspension of the machine."""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from state_manager.store import leases

if TYPE_CHECKING:
    from collections.abc import Callable

    from sqlalchemy import Engine

MARGIN_S = 1.0
"""Longest time that a renewal takes, once it is due."""

_log = logging.getLogger(__name__)


def boot_time() -> float:
    """Return seconds on a clock that goes on while the machine is suspended, where there is one."""
    return time.clock_gettime(getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC))


@dataclass(slots=True)
class Grace:
    """Notices that PostgreSQL has started or was promoted, and that this process was stopped or suspended.

    A reconciler that slept with the workers (SIGSTOP, a paused virtual machine, a laptop's lid) wakes to find every
    lease over. A sleep shorter than a third of a lease harms nothing: a worker renews that often, at least.
    """

    engine: Engine
    lease_s: float
    interval_s: float
    """Pause between two rounds."""
    clock: Callable[[], float] = boot_time
    _seen_at: float | None = None
    _until: float = field(default=float("-inf"))
    _timeline: str | None = None

    def start_round(self) -> None:
        """Begin a round, after the usual pause."""
        self._notice_sleep(self.interval_s)

    def is_over(self) -> bool:
        """Tell whether missing workers count as lost. Ask before and after a check: a sleep may fall in between."""
        self._notice_sleep(0)
        timeline = leases.timeline(self.engine)
        if self._timeline not in {None, timeline}:
            _log.warning("PostgreSQL was promoted: nobody counts as lost for a moment")
            self._until = self.clock() + leases.GRACE_AFTER_START.total_seconds()
        self._timeline = timeline
        return self.clock() >= self._until and leases.has_been_up(self.engine)

    def _notice_sleep(self, expected_s: float) -> None:
        now, renewal_s = self.clock(), self.lease_s / 3
        if self._seen_at is not None and now - self._seen_at > expected_s + renewal_s:
            _log.warning("this process slept for %.1f s: leases have time to be renewed", now - self._seen_at)
            self._until = max(self._until, now + renewal_s + MARGIN_S)
        self._seen_at = now
