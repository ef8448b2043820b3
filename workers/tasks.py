"""The Celery tasks: run one satellite, send what an execution begins with, and answer a probe."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING
from uuid import UUID, uuid4

from celery.exceptions import Ignore, Retry

from state_manager.config import settings
from state_manager.errors import LateOutcome
from state_manager.failpoints import Point, reach
from state_manager.store import recovery, satellites
from state_manager.store.patience import patiently
from state_manager.store.transitions import claim, settle
from workers import dispatch, process, runner
from workers.app import DISPATCH_EXECUTION, PROBE, RUN_SATELLITE, app

if TYPE_CHECKING:
    from celery import Task

    from state_manager.store.transitions import Claimed

SEND_AGAIN_AT_ONCE = 1000
"""So many lost messages one probe sends again; the next one finds the rest."""


@app.task(name=RUN_SATELLITE, bind=True, ignore_result=True, Request="workers.request:SatelliteRequest")
def run_satellite(self: Task, satellite_id: str) -> None:
    """Claim a satellite, run it, settle what came of it, and go on with what that made ready.

    The message is a hint: a claim that is refused, because another message came first, ends it here.
    The satellite's own exception is raised at the end, so that Celery's monitors show it failed.
    """
    reach(Point.RECEIVED)
    attempt = _claim(UUID(satellite_id))
    if attempt is None:
        raise Ignore
    reach(Point.CLAIMED)
    keeper = process.here().keeper
    with keeper.hold(attempt) as interruptible:
        ran = runner.run(attempt, interruptible, keeper)
        if ran is None:
            raise Ignore
        outcome, error = ran
        reach(Point.BEFORE_SETTLE)
        settled = patiently(
            lambda: settle(process.engine(), [outcome], max_concurrent=settings().max_concurrent_executions)
        )
    reach(Point.SETTLED)
    if attempt.id not in settled.landed:
        self.request.chain = None
        raise LateOutcome
    if error is not None:
        # Celery follows no chain behind a failure: what runs all the same (`run_when: all_done`) is sent by itself.
        self.request.chain = None
    dispatch.go_on(self.request, attempt, settled.ready)
    for execution_id in settled.admitted:
        dispatch.hand_over(execution_id)
    reach(Point.DISPATCHED)
    if error is not None:
        raise error if outcome.retry_after_s is None else Retry(exc=error, when=outcome.retry_after_s)


@app.task(name=DISPATCH_EXECUTION, ignore_result=True)
def dispatch_execution(execution_id: str) -> None:
    """Send whatever is ready in an execution."""
    execution = UUID(execution_id)
    ready = satellites.ready(process.engine(), execution)
    dispatch.send(execution, dispatch.graph(execution), ready)


@app.task(name=PROBE, ignore_result=True)
def probe(queue: str, sent_at: str) -> None:
    """Come out of a queue: what was ready before this was sent, and nobody has claimed, has lost its message."""
    before = datetime.fromisoformat(sent_at)
    lost = recovery.send_again(process.engine(), queue, before, SEND_AGAIN_AT_ONCE)
    recovery.answer_probe(process.engine(), queue)
    dispatch.send_again(lost)


def _claim(satellite_id: UUID) -> Claimed | None:
    lease = timedelta(seconds=settings().lease_s)
    token = uuid4()
    here = process.here()
    claimed = patiently(
        lambda: claim(here.engine, [satellite_id], worker=here.id, name=here.name, lease=lease, token=token)
    )
    return claimed[0] if claimed else None
