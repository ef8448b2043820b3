"""Celery's events for satellites that ran in another one's message: Flower then shows a task for each."""

from __future__ import annotations

from typing import TYPE_CHECKING

from state_manager.states import SatelliteStatus
from workers.app import RUN_SATELLITE, app
from workers.dispatch.dispatcher import tolerating_lost_broker

if TYPE_CHECKING:
    from collections.abc import Iterable

    from celery.app.task import Context
    from celery.events.dispatcher import EventDispatcher

    from state_manager.store.transitions import Outcome

EVENTS_PER_MESSAGE = 100
"""Most events that share a message."""


def send_task_events(request: Context, ran: Iterable[tuple[Outcome, float]]) -> None:
    """Send the events of these outcomes, each given with the time of its end in seconds since 1970."""
    with tolerating_lost_broker(), app.producer_or_acquire() as producer:
        dispatcher = app.events.Dispatcher(
            producer.connection,
            hostname=request.hostname,
            channel=producer.channel,
            buffer_while_offline=False,
            buffer_group={"task"},
            buffer_limit=EVENTS_PER_MESSAGE,
        )
        for outcome, ended_at in ran:
            _send(dispatcher, request, outcome, ended_at)
        dispatcher.flush()


def _send(dispatcher: EventDispatcher, request: Context, outcome: Outcome, ended_at: float) -> None:
    uuid = str(outcome.id)
    runtime_s = (outcome.duration_ms or 0) / 1000
    started_at = ended_at - runtime_s
    about = {"name": RUN_SATELLITE, "args": f"('{uuid}',)", "kwargs": "{}", "retries": 0, "eta": None, "expires": None}
    family = {"root_id": request.root_id, "parent_id": request.id}
    dispatcher.send("task-received", uuid=uuid, timestamp=started_at, **about, **family)
    dispatcher.send("task-started", uuid=uuid, timestamp=started_at)
    failure = {"exception": outcome.error, "traceback": outcome.traceback}
    if outcome.status != SatelliteStatus.FAILED:
        dispatcher.send("task-succeeded", uuid=uuid, timestamp=ended_at, runtime=runtime_s, result="None")
    elif outcome.retry_after_s is not None:
        dispatcher.send("task-retried", uuid=uuid, timestamp=ended_at, **failure)
    else:
        dispatcher.send("task-failed", uuid=uuid, timestamp=ended_at, **failure)
