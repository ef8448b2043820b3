"""A time slice: the satellites that a worker runs in turn for one message, without going through the broker."""

from __future__ import annotations

import logging
import time
from collections import deque
from datetime import timedelta
from threading import Lock
from typing import TYPE_CHECKING
from uuid import UUID, uuid4

from exospherehost import ConfigurationError
from state_manager.config import settings
from state_manager.expansion import is_parent
from state_manager.failpoints import Point, reach
from state_manager.store import transitions
from state_manager.store.outages import DATABASE_ERRORS, describe, is_outage, retry_until_available
from state_manager.store.transitions import ClaimBudget
from workers import outcomes, process, task_events
from workers.attempt import runner
from workers.attempt.interrupts import Reason
from workers.dispatch.durations import BATCH_LIMIT

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from celery.app.task import Context

    from state_manager.store.transitions import Claimed, Outcome, Settled

OVERRUN = 0.5
"""Share of a slice by which a batch that was expected to fit may exceed it before the unstarted rest is released."""

_log = logging.getLogger(__name__)


class Slice:
    """The satellites of one execution that a worker has claimed, and runs in turn until its time is over.

    The thread of the message runs them, and settles a batch when the last of it is done, claiming with the same call
    what became ready and fits. Once the time is over, the slice watchdog's thread settles what is done and releases
    what waits behind a satellite that takes long. The two share `_unstarted` and `_done` under one lock: whoever
    takes an attempt out of them settles or releases it.
    """

    def __init__(self, request: Context) -> None:
        slice_s = settings().time_slice_ms / 1000
        self._claims_until = time.monotonic() + slice_s
        self.deadline = self._claims_until + OVERRUN * slice_s
        self.failure: tuple[Exception, Outcome] | None = None
        """The error and the outcome of the satellite that Celery knows the message by, if it failed."""
        self.came_late = False
        """True if the attempt of that satellite had been taken away before its outcome was recorded."""
        self._request = request
        self._process = process.current_process()
        self._lock = Lock()
        self._unstarted: deque[Claimed] = deque()
        self._done: list[Outcome] = []
        self._claimed: list[Claimed] = []
        self._unannounced: list[tuple[Outcome, float]] = []
        """Outcomes for which Celery sends no events, with the time of each."""

    def claim(self, ids: Sequence[UUID]) -> bool:
        """Claim these satellites, and tell whether there is anything to run."""
        if self._process.watchdog.stopping:
            return False
        self._first_id = ids[0]
        claimed = self._claim(ids)
        self._hold(claimed)
        if claimed:
            self._execution_id = claimed[0].execution_id
            self._process.notifier.notify_watchers(self._execution_id)
            # This message was theirs too, where they are ready still: their inputs are too large for one claim.
            self._process.dispatcher.send_ready(set(ids) - {attempt.id for attempt in claimed})
        return bool(claimed)

    def run(self) -> None:
        """Run what is claimed, and what that makes ready as long as time is left; send the rest."""
        try:
            with self._process.slice_watchdog.watching(self):
                ready = self._run_all()
        finally:
            self._process.held_attempts.drop(self._claimed)
        if self._unannounced:
            task_events.send_task_events(self._request, self._unannounced)
        if self.failure is not None or self.came_late:
            # Celery follows no chain behind a failure: what runs all the same (`run_when: all_done`) is sent by itself.
            self._request.chain = None
        self._process.dispatcher.continue_canvas(self._request, ready, [attempt.id for attempt in self._claimed])

    def release_unstarted(self) -> None:
        """Settle what is done and release what has not started, in whichever thread this is called."""
        done, unstarted = self._take_over()
        if done:
            self._process.dispatcher.send_ready(self._record(done, None).ready)
        if unstarted:
            self._release(unstarted)

    def _claim(self, ids: Sequence[UUID]) -> list[Claimed]:
        me, lease, token = self._process, timedelta(seconds=settings().lease_s), uuid4()
        try:
            return retry_until_available(
                lambda: transitions.claim(
                    me.engine,
                    ids,
                    worker=me.id,
                    name=me.name,
                    lease=lease,
                    max_input_bytes=settings().max_input_bytes,
                    token=token,
                )
            )
        except DATABASE_ERRORS as error:
            if is_outage(error):
                raise
            _log.error("claim of %d satellites, the first %s, is given up: %s", len(ids), ids[0], describe(error))
        if len(ids) > 1:  # only one of them may be at fault
            me.dispatcher.send_ready(ids, apart=True)
        return []

    def _run_all(self) -> Collection[UUID]:
        """Run until nothing is claimed any more; return what became ready last, and is not sent."""
        ready: Collection[UUID] = ()
        while (attempt := self._next()) is not None:
            self._run(attempt)
            if self._is_due():
                ready = self._settle()
                if self._unstarted:
                    self._process.dispatcher.send_ready(ready)
                    ready = ()
        self.release_unstarted()  # there is something left only when this process stops
        return ready

    def _next(self) -> Claimed | None:
        with self._lock:
            return self._unstarted.popleft() if self._unstarted and not self._process.watchdog.stopping else None

    def _run(self, attempt: Claimed) -> None:
        started = time.perf_counter()
        end = runner.run(attempt, self._process.watchdog, self._process.notifier)
        if end is Reason.STOPPING:
            with self._lock:
                self._unstarted.appendleft(attempt)
            return
        if not is_parent(attempt):
            self._process.durations.record(attempt.identifier, (time.perf_counter() - started) * 1000)
        if not isinstance(end, runner.Finished):
            self._process.held_attempts.drop([attempt])
            return
        if attempt.id == self._first_id:
            self.failure = None if end.error is None else (end.error, end.outcome)
        elif self._request.get("watched"):
            self._unannounced.append((end.outcome, time.time()))
        with self._lock:
            self._done.append(end.outcome)

    def _is_due(self) -> bool:
        """Tell whether to settle now: everything claimed is done, the time is over, or this process stops."""
        return not self._unstarted or time.monotonic() >= self.deadline or self._process.watchdog.stopping

    def _settle(self) -> Collection[UUID]:
        """Settle what is done, and claim what fits the time that is left; return what became ready besides."""
        budget = self._claim_budget()
        done, unstarted = self._take_over()
        ready: Collection[UUID] = ()
        if done:  # else the slice watchdog has taken it, or it was taken away
            settled = self._record(done, budget)
            self._hold(settled.claimed)
            ready = settled.ready
        if unstarted:
            self._release(unstarted)
        return ready

    def _claim_budget(self) -> ClaimBudget | None:
        left_ms = (self._claims_until - time.monotonic()) * 1000
        if left_ms <= 0 or self._process.watchdog.stopping:
            return None
        me = self._process
        return ClaimBudget(
            token=uuid4(),
            worker=me.id,
            name=me.name,
            lease_s=settings().lease_s,
            queues=me.queues,
            durations_ms=me.durations.short(),
            time_ms=min(left_ms, me.durations.batch_ms),
            limit=BATCH_LIMIT,
            max_input_bytes=settings().max_input_bytes,
        )

    def _record(self, done: list[Outcome], budget: ClaimBudget | None) -> Settled:
        reach(Point.BEFORE_SETTLE)
        me, allowed = self._process, settings().max_concurrent_executions
        try:
            recorded = outcomes.record(me.engine, done, max_concurrent=allowed, budget=budget)
        finally:
            me.held_attempts.drop(done)
        settled = recorded.settled
        reach(Point.SETTLED)
        me.notifier.notify_watchers(self._execution_id, ended=settled.ended is not None)
        for failure in recorded.refused:
            if failure.id == self._first_id:
                self.failure = ConfigurationError(failure.error or ""), failure
        for outcome in done:
            if outcome.id not in settled.landed:
                _log.warning("the outcome of %s came late: its attempt was taken away", outcome.id)
                self.came_late = self.came_late or outcome.id == self._first_id
        for execution_id in settled.admitted:
            me.notifier.notify_watchers(execution_id)
            me.dispatcher.dispatch_execution(execution_id)
        return settled

    def _hold(self, claimed: Sequence[Claimed]) -> None:
        """Keep the leases of attempts that were just claimed, and run them in turn."""
        if not claimed:
            return
        self._process.held_attempts.hold(claimed)
        self._claimed.extend(claimed)
        with self._lock:
            self._unstarted.extend(claimed)
        reach(Point.CLAIMED)

    def _take_over(self) -> tuple[list[Outcome], Collection[Claimed]]:
        """Take what is done and what has not started: the caller settles the ones and releases the others."""
        with self._lock:
            done, self._done = self._done, []
            unstarted, self._unstarted = self._unstarted, deque()
        return done, unstarted

    def _release(self, unstarted: Collection[Claimed]) -> None:
        me = self._process
        try:
            released = outcomes.release(me.engine, unstarted)
        finally:
            me.held_attempts.drop(unstarted)
        me.notifier.notify_watchers(self._execution_id)
        me.dispatcher.send_ready(released, apart=True)
