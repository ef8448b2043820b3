"""A time slice: what one message has its worker do, satellite after satellite, without a trip through the broker."""

from __future__ import annotations

import logging
import time
from collections import deque
from datetime import timedelta
from threading import Lock
from typing import TYPE_CHECKING
from uuid import UUID, uuid4

from state_manager.config import settings
from state_manager.failpoints import Point, reach
from state_manager.store import transitions
from state_manager.store.outages import retry_until_available
from state_manager.store.transitions import ClaimBudget
from workers import process, task_events
from workers.attempt import runner
from workers.dispatch.durations import BATCH_LIMIT

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from celery.app.task import Context

    from state_manager.store.transitions import Claimed, Outcome, Settled

OVERRUN = 0.5
"""So much of a slice may a batch run over it, that was thought to fit, before what has not started is given up."""

_log = logging.getLogger(__name__)


class Slice:
    """The satellites of one execution that a worker has claimed, and does in turn until its time is over.

    Its main thread runs them, and settles a batch when the last of it is done, claiming with the same call what
    became ready and fits. The relief thread takes over, once the time is over, whatever waits behind a satellite
    that takes long. They share what waits and what is done, under one lock: each is settled by who took it.
    """

    def __init__(self, request: Context) -> None:
        slice_s = settings().time_slice_ms / 1000
        self._claims_until = time.monotonic() + slice_s
        self.deadline = self._claims_until + OVERRUN * slice_s
        self.late = False
        """Whether the message's own satellite was taken away before its outcome came."""
        self.failure: tuple[Exception, Outcome] | None = None
        """How the message's own satellite failed, if it did."""
        self._request = request
        self._worker = process.current_process()
        self._lock = Lock()
        self._waiting: deque[Claimed] = deque()
        self._done: list[Outcome] = []
        self._taken: set[UUID] = set()
        self._ran: list[tuple[Outcome, float]] = []

    def begin(self, ids: Sequence[UUID]) -> bool:
        """Claim these satellites, and tell whether there is anything to do."""
        worker, lease, token = self._worker, timedelta(seconds=settings().lease_s), uuid4()
        claimed = retry_until_available(
            lambda: transitions.claim(
                worker.engine,
                ids,
                worker=worker.id,
                name=worker.name,
                lease=lease,
                max_input_bytes=settings().max_input_bytes,
                token=token,
            )
        )
        self._track_claims(claimed)
        self._own = ids[0]
        if claimed:
            self._execution_id = claimed[0].execution_id
            self._worker.notifier.notify_watchers(self._execution_id)
            # This message was theirs too, where they are ready still: their inputs are too large for one claim.
            self._worker.dispatcher.send_ready(set(ids) - self._taken)
        return bool(claimed)

    def run(self) -> None:
        """Run what is claimed, and what that makes ready as long as time is left; send the rest."""
        try:
            with self._worker.slice_watchdog.watching(self):
                rest = self._run_all()
        finally:
            self._worker.lease_keeper.drop(self._taken)
        if self._ran:
            task_events.send_task_events(self._request, self._ran)
        if self.failure is not None or self.late:
            # Celery follows no chain behind a failure: what runs all the same (`run_when: all_done`) is sent by itself.
            self._request.chain = None
        self._worker.dispatcher.continue_canvas(self._request, rest, self._taken)

    def release_unstarted(self) -> None:
        """Settle what is done and release what has not started, from another thread than the one that runs them."""
        done, waiting = self._drain()
        if done:
            self._worker.dispatcher.send_ready(self._record(done, None).ready)
        if waiting:
            self._release(waiting)

    def _run_all(self) -> Collection[UUID]:
        """Run until nothing is claimed any more; return what became ready last, and is not sent."""
        rest: Collection[UUID] = ()
        while (attempt := self._next()) is not None:
            self._run(attempt)
            if self._is_due():
                rest = self._settle()
                if self._waiting:
                    self._worker.dispatcher.send_ready(rest)
                    rest = ()
        return rest

    def _next(self) -> Claimed | None:
        with self._lock:
            while self._waiting:
                attempt = self._waiting.popleft()
                if not self._worker.lease_keeper.is_taken_away(attempt):
                    return attempt
                self._worker.lease_keeper.drop([attempt.id])
        return None

    def _run(self, attempt: Claimed) -> None:
        started = time.perf_counter()
        ran = runner.run(attempt, self._worker.lease_keeper, self._worker.notifier)
        self._worker.durations.record(attempt.identifier, (time.perf_counter() - started) * 1000)
        if ran is None:
            self._worker.lease_keeper.drop([attempt.id])
            return
        outcome, error = ran
        if attempt.id == self._own:
            self.failure = None if error is None else (error, outcome)
        elif self._request.get("watched"):
            self._ran.append((outcome, time.time()))
        with self._lock:
            self._done.append(outcome)

    def _is_due(self) -> bool:
        """Tell whether to settle now: everything claimed is done, or the time is over."""
        return not self._waiting or time.monotonic() >= self.deadline

    def _settle(self) -> Collection[UUID]:
        """Settle what is done, and claim what fits the time that is left; return what became ready besides."""
        budget = self._claim_budget()
        done, waiting = self._drain()
        ready: Collection[UUID] = ()
        if done:  # else the relief thread has taken it, or it was taken away
            settled = self._record(done, budget)
            self._track_claims(settled.claimed)
            ready = settled.ready
        if waiting:
            self._release(waiting)
        return ready

    def _claim_budget(self) -> ClaimBudget | None:
        left_ms = (self._claims_until - time.monotonic()) * 1000
        if left_ms <= 0:
            return None
        worker = self._worker
        return ClaimBudget(
            token=uuid4(),
            worker=worker.id,
            name=worker.name,
            lease_s=settings().lease_s,
            queues=worker.queues,
            durations_ms=worker.durations.short(),
            time_ms=min(left_ms, worker.durations.batch_ms),
            limit=BATCH_LIMIT,
            max_input_bytes=settings().max_input_bytes,
        )

    def _record(self, outcomes: list[Outcome], budget: ClaimBudget | None) -> Settled:
        reach(Point.BEFORE_SETTLE)
        worker, allowed = self._worker, settings().max_concurrent_executions
        try:
            settled = retry_until_available(
                lambda: transitions.settle(worker.engine, outcomes, max_concurrent=allowed, budget=budget)
            )
        finally:
            worker.lease_keeper.drop([outcome.id for outcome in outcomes])
        reach(Point.SETTLED)
        self._worker.notifier.notify_watchers(self._execution_id, ended=settled.ended is not None)
        for outcome in outcomes:
            if outcome.id not in settled.landed:
                _log.warning("the outcome of %s came late: its attempt was taken away", outcome.id)
                self.late = self.late or outcome.id == self._own
        for execution_id in settled.admitted:
            self._worker.notifier.notify_watchers(execution_id)
            self._worker.dispatcher.dispatch_execution(execution_id)
        return settled

    def _track_claims(self, claimed: Sequence[Claimed]) -> None:
        if not claimed:
            return
        self._worker.lease_keeper.hold(claimed)
        self._taken.update(attempt.id for attempt in claimed)
        with self._lock:
            self._waiting.extend(claimed)
        reach(Point.CLAIMED)

    def _drain(self) -> tuple[list[Outcome], Collection[Claimed]]:
        """Take what is done and what waits: nobody else will look after it."""
        with self._lock:
            done, self._done = self._done, []
            waiting, self._waiting = self._waiting, deque()
        return done, waiting

    def _release(self, waiting: Collection[Claimed]) -> None:
        try:
            released = retry_until_available(lambda: transitions.release(self._worker.engine, waiting))
        finally:
            self._worker.lease_keeper.drop([attempt.id for attempt in waiting])
        self._worker.notifier.notify_watchers(self._execution_id)
        self._worker.dispatcher.send_ready(released, apart=True)
