"""The Celery tasks: run one satellite, and send what an execution begins with."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING
from uuid import UUID

from celery.exceptions import Ignore

from state_manager.config import settings
from state_manager.errors import LateOutcome
from state_manager.store import satellites
from state_manager.store.transitions import claim, settle
from workers import dispatch, process, runner
from workers.app import DISPATCH_EXECUTION, RUN_SATELLITE, app

if TYPE_CHECKING:
    from celery import Task


@app.task(name=RUN_SATELLITE, bind=True, ignore_result=True)
def run_satellite(self: Task, satellite_id: str) -> None:
    """Claim a satellite, run it, settle what came of it, and go on with what that made ready.

    The message is a hint: a claim that is refused, because another message came first, ends it here.
    The satellite's own exception is raised at the end, so that Celery's monitors show it failed.
    """
    lease = timedelta(seconds=settings().lease_s)
    claimed = claim(process.engine(), [UUID(satellite_id)], worker=process.name(), lease=lease)
    if not claimed:
        raise Ignore
    attempt = claimed[0]
    outcome, error = runner.run(attempt)
    settled = settle(process.engine(), [outcome], max_concurrent=settings().max_concurrent_executions)
    if attempt.id not in settled.landed:
        self.request.chain = None
        raise LateOutcome
    if error is not None:
        # Celery follows no chain behind a failure: what runs all the same (`run_when: all_done`) is sent by itself.
        self.request.chain = None
    dispatch.go_on(self.request, attempt.execution_id, settled.ready)
    for execution_id in settled.admitted:
        dispatch.hand_over(execution_id)
    if error is not None:
        raise error


@app.task(name=DISPATCH_EXECUTION, ignore_result=True)
def dispatch_execution(execution_id: str) -> None:
    """Send whatever is ready in an execution."""
    execution = UUID(execution_id)
    ready = satellites.ready(process.engine(), execution)
    dispatch.send(execution, dispatch.graph(execution), ready)
