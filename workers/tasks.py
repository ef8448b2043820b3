"""The Celery tasks: run satellites, dispatch an execution, and answer a probe."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING
from uuid import UUID

from celery.exceptions import Ignore, Retry

from state_manager.errors import LateOutcome
from state_manager.failpoints import Point, reach
from state_manager.store import probes, queueing
from workers import process
from workers.app import DISPATCH_EXECUTION, PROBE, RUN_SATELLITE, app
from workers.orderly_stop import handing_back
from workers.slices import Slice

if TYPE_CHECKING:
    from celery import Task

RESEND_LIMIT = 1000
"""Most lost messages that one probe resends; the next probe finds the rest."""


class SatelliteFailed(Exception):
    """The failure of a satellite as Celery and its monitors see it.

    The satellite's own exception is only its cause: to Celery it may mean something else, as `Ignore` and
    `MemoryError` do, or fail to be pickled.
    """


@app.task(
    name=RUN_SATELLITE,
    bind=True,
    ignore_result=True,
    Request="workers.request:SatelliteRequest",
    throws=(LateOutcome,),  # logged in one line, without a traceback
)
def run_satellite(self: Task, *satellite_ids: str) -> None:
    """Claim satellites, all of one execution, run them, and go on for a time slice with what that makes ready.

    The message is a hint: where another message came first, nothing is claimed, and this one ends. Celery knows it by
    its first satellite, whose failure is raised at the end, so that monitors show it.
    """
    with handing_back(process.current_process()):
        reach(Point.RECEIVED)
        work = Slice(self.request)
        if not work.claim([UUID(one) for one in satellite_ids]):
            raise Ignore
        work.run()
        reach(Point.DISPATCHED)
    if work.came_late:
        raise LateOutcome
    if work.failure is not None:
        error, outcome = work.failure
        failure = SatelliteFailed(outcome.error)
        failure.__cause__ = error
        raise failure if outcome.retry_after_s is None else Retry(exc=failure, when=outcome.retry_after_s)


@app.task(name=DISPATCH_EXECUTION, ignore_result=True)
def dispatch_execution(execution_id: str) -> None:
    """Send messages for all that is ready in an execution."""
    process.current_process().dispatcher.dispatch_execution(UUID(execution_id))


@app.task(name=PROBE, ignore_result=True)
def probe(queue: str, sent_at: str) -> None:
    """Resend lost messages of a queue: of what was ready before this probe was sent, and nobody has claimed since."""
    before = datetime.fromisoformat(sent_at)
    lost = queueing.take_lost_messages(process.engine(), queue, before, RESEND_LIMIT)
    probes.answer_probe(process.engine(), queue)
    process.current_process().dispatcher.send(lost)
