"""Stop and retry executions, and expire attempts of lost workers: the only way to do so from outside a worker.

Each is one transition of the store, then the messages and notifications that it calls for.
"""

from __future__ import annotations

import logging
import random
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from state_manager.failpoints import Point, reach
from state_manager.retry import ErrorKind, RetryPolicy
from state_manager.states import SatelliteStatus
from state_manager.store import executions, leases, queueing, signals
from state_manager.store.transitions import Outcome

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from uuid import UUID

    from sqlalchemy import Engine

    from state_manager.notifications import Notifier
    from state_manager.states import ExecutionStatus
    from state_manager.store.executions import Retried, Stopped
    from state_manager.store.leases import HeldAttempt
    from state_manager.store.queueing import Unsent
    from state_manager.store.signals import Sent
    from state_manager.store.transitions import Settled

WIDE_FRONT = 64
"""More ready satellites than this are dispatched by a worker, so that the caller does not wait for their messages."""

_log = logging.getLogger(__name__)


class Dispatcher(Protocol):
    """A sender of messages; the domain knows no broker. Neither call raises while the broker is away."""

    def send(self, unsent: Sequence[Unsent]) -> None:
        """Send messages for these satellites."""

    def enqueue_dispatch(self, execution_id: UUID) -> None:
        """Ask a worker to send whatever is ready in an execution."""


@dataclass(frozen=True, slots=True)
class Lifecycle:
    """Stops and retries executions, and expires attempts whose worker is lost."""

    engine: Engine
    dispatcher: Dispatcher
    notifier: Notifier
    max_concurrent: int

    def stop(
        self, execution_id: UUID, status: ExecutionStatus, error: str | None = None, *, if_late: bool = False
    ) -> Stopped:
        """End an execution as cancelled, or as failed with an error; dispatch the executions admitted in its place.

        `if_late` spares one that was given more time meanwhile.
        """
        stopped = executions.stop(
            self.engine, execution_id, status, max_concurrent=self.max_concurrent, error=error, if_late=if_late
        )
        if stopped.stopped:
            self.notifier.notify_watchers(execution_id, ended=True)
        self.dispatch_admitted(stopped.admitted)
        return stopped

    def retry(self, execution_id: UUID, satellite_id: UUID | None = None) -> Retried:
        """Put back what failed, all of it or one satellite, and dispatch what may start."""
        retried = executions.retry(self.engine, execution_id, satellite_id)
        if retried.revived:
            self.notifier.notify_watchers(execution_id)
        if len(retried.ready) > WIDE_FRONT:
            self.dispatcher.enqueue_dispatch(execution_id)
        elif retried.ready:
            self.dispatcher.send(queueing.unsent(self.engine, retried.ready))
        return retried

    def signal(self, execution_id: UUID, name: str, payload: Any, *, key: str | None = None) -> Sent:
        """Send a signal to an execution, and dispatch the satellite that waits for it. Raises as `signals.send`."""
        sent = signals.send(self.engine, execution_id, name, payload, key=key)
        self.notifier.notify_watchers(execution_id)
        if sent.ready:
            self.dispatcher.send(queueing.unsent(self.engine, sent.ready))
        return sent

    def expire(self, attempts: Sequence[HeldAttempt], why: str, *, lease_over: bool) -> int:
        """Count these attempts, all of one execution, as failed; return how many were.

        `lease_over` spares those that were renewed or settled meanwhile; otherwise their worker is known to be dead.
        """
        outcomes = [lost_outcome(attempt, why) for attempt in attempts]
        settled = leases.expire(self.engine, outcomes, lease_over=lease_over, max_concurrent=self.max_concurrent)
        reach(Point.REPAIRED)
        if settled.landed:
            execution_id = attempts[0].execution_id
            self.notifier.notify_watchers(execution_id, ended=settled.ended is not None)
            _log.warning("%d attempts of %s are lost: %s", len(settled.landed), execution_id, why)
        self.dispatch_settled(settled)
        return len(settled.landed)

    def dispatch_settled(self, settled: Settled) -> None:
        """Dispatch what may start because of a settle, in its execution and in those that were admitted."""
        self.dispatcher.send(queueing.unsent(self.engine, settled.ready))
        self.dispatch_admitted(settled.admitted)

    def dispatch_admitted(self, admitted: Iterable[UUID]) -> None:
        """Dispatch the first satellites of executions that have just been admitted."""
        for execution_id in admitted:
            self.notifier.notify_watchers(execution_id)
            self.dispatcher.enqueue_dispatch(execution_id)


def lost_outcome(attempt: HeldAttempt, why: str) -> Outcome:
    """Make the outcome of an attempt whose process is gone: retried at once, while its policy allows."""
    kind, error = ErrorKind.WORKER_LOST, f"worker lost in attempt {attempt.attempt}: {why}"
    if attempt.past_its_time:
        kind = ErrorKind.TIMEOUT
        error = f"timed out after {attempt.timeout_s:g} s, did not end when interrupted, and its process was killed"
    policy = RetryPolicy.from_json(attempt.retry_policy | {"max_attempts": attempt.max_attempts})
    retry_after_s = None
    if policy.retries(kind, attempt.attempt):
        retry_after_s = 0 if kind is ErrorKind.WORKER_LOST else policy.wait_s(attempt.attempt, random.random())  # noqa: S311
    elif kind is ErrorKind.WORKER_LOST:
        error += f"; it lost its worker in its last attempt of {attempt.max_attempts}"
    return Outcome(
        attempt.id,
        attempt.claim,
        SatelliteStatus.FAILED,
        error=error,
        error_kind=kind,
        traceback=None,
        retry_after_s=retry_after_s,
    )
