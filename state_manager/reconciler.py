"""The reconciler: looks at what is, compares it with what should be, and mends the difference.

Level-triggered and idempotent: each step may run at any time, twice at once, or late; that costs time, nothing
else. `run_once` is one round; Celery beat's process turns it over and over (`workers/beat.py`).
"""

from __future__ import annotations

import logging
import random
import time
from collections import Counter
from dataclasses import dataclass
from datetime import timedelta
from itertools import groupby
from operator import itemgetter
from typing import TYPE_CHECKING, Protocol

from state_manager.failpoints import Point, reach
from state_manager.retry import ErrorKind, RetryPolicy
from state_manager.states import ExecutionStatus, SatelliteStatus
from state_manager.store import executions, leases, recovery
from state_manager.store.patience import DATABASE_AWAY
from state_manager.store.transitions import Outcome

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from datetime import datetime
    from uuid import UUID

    from sqlalchemy import Engine, RowMapping

    from state_manager.store.executions import Stopped
    from state_manager.store.recovery import Unsent

BATCH = 500
"""So much of each kind is mended in a round; the next round comes soon."""

BETWEEN_LOOKS_S = 0.5
"""A worker is lost when its session is missing at two looks so far apart."""

FORGET_WORKERS_AFTER = timedelta(minutes=10)

_log = logging.getLogger(__name__)


class Dispatcher(Protocol):
    """What sends messages for the reconciler, which knows no broker."""

    def send_again(self, unsent: Sequence[Unsent]) -> None:
        """Send each of these satellites a message of its own."""

    def hand_over(self, execution_id: UUID) -> None:
        """Have sent whatever is ready in an execution."""

    def announce(self, execution_id: UUID) -> None:
        """Tell who watches an execution that it has new events."""

    def probe(self, queue: str, sent_at: datetime) -> None:
        """Send a probe through a queue."""


@dataclass(frozen=True, slots=True)
class Reconciler:
    """One round mends what is lost; `fence` makes sure who is lost."""

    engine: Engine
    dispatcher: Dispatcher
    max_concurrent: int

    def run_once(self) -> Counter[str]:
        """Do each step once, in bounded batches; return how much each of them found to do."""
        steps: dict[str, Callable[[], int]] = {
            "lost": self.expire_lost_workers,
            "overdue": self.expire_leases,
            "due": self.fire_due,
            "timed_out": self.stop_late_executions,
            "admitted": self.repair_admission,
            "probed": self.send_probes,
        }
        mended: Counter[str] = Counter()
        for name, step in steps.items():
            try:
                mended[name] = step()
            except DATABASE_AWAY:
                raise
            except Exception:  # noqa: BLE001  (one step that cannot be done must not hold up the others)
                _log.exception("the step %r is left unfinished, and tried again in the next round", name)
        return mended

    def expire_lost_workers(self) -> int:
        """Take their attempts from workers whose session is gone at two looks."""
        missing = leases.silent_sessions(self.engine)
        if not missing or not leases.grace_is_over(self.engine):
            return 0
        time.sleep(BETWEEN_LOOKS_S)
        lost = {session.worker for session in missing & leases.silent_sessions(self.engine)}
        if not lost or not leases.grace_is_over(self.engine):
            return 0
        count = self.expire(leases.held_by(self.engine, lost), "the worker that ran it is gone", lease_over=False)
        leases.strike_off(self.engine, lost)
        return count

    def expire_leases(self) -> int:
        """Take back attempts whose lease is over: nobody renews them."""
        leases.strike_off_silent(self.engine, FORGET_WORKERS_AFTER)
        if not leases.grace_is_over(self.engine):
            return 0
        rows = leases.overdue(self.engine, BATCH)
        return self.expire(rows, "its worker did not renew its lease", lease_over=True)

    def expire(self, rows: Sequence[RowMapping], why: str, *, lease_over: bool) -> int:
        """Count these attempts as failed, each execution's in one transaction; return how many were."""
        count = 0
        for execution_id, attempts in groupby(rows, key=itemgetter("execution_id")):
            outcomes = [lost_outcome(row, why) for row in attempts]
            settled = leases.expire(self.engine, outcomes, lease_over=lease_over, max_concurrent=self.max_concurrent)
            count += len(settled.landed)
            reach(Point.MENDED)
            if settled.landed:
                self.dispatcher.announce(execution_id)
                _log.warning("%d attempts of %s are lost: %s", len(settled.landed), execution_id, why)
            self.dispatcher.send_again(recovery.unsent(self.engine, settled.ready))
            self.begin(settled.admitted)
        return count

    def fire_due(self) -> int:
        """Send the satellites whose wait before the next attempt is over."""
        due = recovery.fire_due(self.engine, BATCH)
        reach(Point.MENDED)
        self.dispatcher.send_again(due)
        return len(due)

    def stop_late_executions(self) -> int:
        """Fail the executions that are past their time, and stop what runs in them."""
        late = executions.past_their_time(self.engine, BATCH)
        for execution_id, timeout_s in late:
            error = f"the execution did not finish within its timeout of {timeout_s:g} s"
            self.stop(execution_id, ExecutionStatus.FAILED, error)
        return len(late)

    def stop(self, execution_id: UUID, status: ExecutionStatus, error: str | None = None) -> Stopped:
        """End an execution from outside, and send whom that lets in."""
        stopped = executions.stop(self.engine, execution_id, status, max_concurrent=self.max_concurrent, error=error)
        if stopped.stopped:
            self.dispatcher.announce(execution_id)
        self.begin(stopped.admitted)
        return stopped

    def repair_admission(self) -> int:
        """Set the count of running executions right, and admit who waits while there is room."""
        admitted = recovery.repair_admission(self.engine, self.max_concurrent)
        self.begin(admitted)
        return len(admitted)

    def begin(self, admitted: Iterable[UUID]) -> None:
        """Send what executions begin with that were let in."""
        for execution_id in admitted:
            self.dispatcher.announce(execution_id)
            self.dispatcher.hand_over(execution_id)

    def send_probes(self) -> int:
        """Send probes through the queues in which something has been ready for long."""
        probes = recovery.due_probes(self.engine)
        for queue, sent_at in probes:
            self.dispatcher.probe(queue, sent_at)
        return len(probes)


def lost_outcome(row: RowMapping, why: str) -> Outcome:
    """Say what came of an attempt whose process is gone: another one at once, while its policy allows."""
    kind, error = ErrorKind.WORKER_LOST, f"worker lost in attempt {row['attempt']}: {why}"
    if row["past_its_time"]:
        kind = ErrorKind.TIMEOUT
        error = f"timed out after {row['timeout_s']:g} s, did not end when interrupted, and its process was killed"
    policy = RetryPolicy.from_json(row["retry_policy"] | {"max_attempts": row["max_attempts"]})
    retry_after_s = None
    if policy.retries(kind, row["attempt"]):
        retry_after_s = 0 if kind is ErrorKind.WORKER_LOST else policy.wait_s(row["attempt"], random.random())  # noqa: S311
    elif kind is ErrorKind.WORKER_LOST:
        error += f"; it lost its worker in its last attempt of {row['max_attempts']}"
    return Outcome(
        row["id"],
        row["claim"],
        SatelliteStatus.FAILED,
        error=error,
        error_kind=kind,
        traceback=None,
        retry_after_s=retry_after_s,
    )
