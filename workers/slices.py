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
from state_manager.store.patience import patiently
from state_manager.store.transitions import Room
from workers import dispatch, monitoring, process, runner
from workers.pace import AT_MOST

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
        self._here = process.here()
        self._lock = Lock()
        self._waiting: deque[Claimed] = deque()
        self._done: list[Outcome] = []
        self._taken: set[UUID] = set()
        self._ran: list[tuple[Outcome, float]] = []

    def begin(self, ids: Sequence[UUID]) -> bool:
        """Claim these satellites, and tell whether there is anything to do."""
        here, lease, token = self._here, timedelta(seconds=settings().lease_s), uuid4()
        claimed = patiently(
            lambda: transitions.claim(here.engine, ids, worker=here.id, name=here.name, lease=lease, token=token)
        )
        self._take_on(claimed)
        self._own = ids[0]
        if claimed:
            self._execution_id = claimed[0].execution_id
            dispatch.announce(self._execution_id)
        return bool(claimed)

    def run(self) -> None:
        """Run what is claimed, and what that makes ready as long as time is left; send the rest."""
        try:
            with self._here.relief.standing_by(self):
                rest = self._run_all()
        finally:
            self._here.keeper.drop(self._taken)
        if self._ran:
            monitoring.tell(self._request, self._ran)
        if self.failure is not None or self.late:
            # Celery follows no chain behind a failure: what runs all the same (`run_when: all_done`) is sent by itself.
            self._request.chain = None
        dispatch.go_on(self._request, rest, self._taken)

    def hand_off(self) -> None:
        """Settle what is done and release what has not started, from another thread than the one that runs them."""
        done, waiting = self._take_over()
        if done:
            dispatch.send(self._record(done, None).ready)
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
                    dispatch.send(rest)
                    rest = ()
        return rest

    def _next(self) -> Claimed | None:
        with self._lock:
            while self._waiting:
                attempt = self._waiting.popleft()
                if not self._here.keeper.is_taken_away(attempt):
                    return attempt
                self._here.keeper.drop([attempt.id])
        return None

    def _run(self, attempt: Claimed) -> None:
        started = time.perf_counter()
        ran = runner.run(attempt, self._here.keeper, self._here.notices)
        self._here.pace.record(attempt.identifier, (time.perf_counter() - started) * 1000)
        if ran is None:
            self._here.keeper.drop([attempt.id])
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
        room = self._room()
        done, waiting = self._take_over()
        ready: Collection[UUID] = ()
        if done:  # else the relief thread has taken it, or it was taken away
            settled = self._record(done, room)
            self._take_on(settled.claimed)
            ready = settled.ready
        if waiting:
            self._release(waiting)
        return ready

    def _room(self) -> Room | None:
        left_ms = (self._claims_until - time.monotonic()) * 1000
        if left_ms <= 0:
            return None
        here = self._here
        return Room(
            token=uuid4(),
            worker=here.id,
            name=here.name,
            lease_s=settings().lease_s,
            queues=here.queues,
            kinds=here.pace.short(),
            room_ms=min(left_ms, here.pace.batch_ms),
            at_most=AT_MOST,
        )

    def _record(self, outcomes: list[Outcome], room: Room | None) -> Settled:
        reach(Point.BEFORE_SETTLE)
        here, allowed = self._here, settings().max_concurrent_executions
        try:
            settled = patiently(lambda: transitions.settle(here.engine, outcomes, max_concurrent=allowed, room=room))
        finally:
            here.keeper.drop([outcome.id for outcome in outcomes])
        reach(Point.SETTLED)
        dispatch.announce(self._execution_id, ended=settled.ended is not None)
        for outcome in outcomes:
            if outcome.id not in settled.landed:
                _log.warning("the outcome of %s came late: its attempt was taken away", outcome.id)
                self.late = self.late or outcome.id == self._own
        for execution_id in settled.admitted:
            dispatch.announce(execution_id)
            dispatch.send_all(execution_id)
        return settled

    def _take_on(self, claimed: Sequence[Claimed]) -> None:
        if not claimed:
            return
        self._here.keeper.hold(claimed)
        self._taken.update(attempt.id for attempt in claimed)
        with self._lock:
            self._waiting.extend(claimed)
        reach(Point.CLAIMED)

    def _take_over(self) -> tuple[list[Outcome], Collection[Claimed]]:
        """Take what is done and what waits: nobody else will look after it."""
        with self._lock:
            done, self._done = self._done, []
            waiting, self._waiting = self._waiting, deque()
        return done, waiting

    def _release(self, waiting: Collection[Claimed]) -> None:
        try:
            released = patiently(lambda: transitions.release(self._here.engine, waiting))
        finally:
            self._here.keeper.drop([attempt.id for attempt in waiting])
        dispatch.announce(self._execution_id)
        dispatch.send(released, apart=True)
