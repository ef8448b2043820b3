"""Watching an execution that failed, was retried and cancelled, from anywhere in it on."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from state_manager.progress import Progress
from state_manager.states import ExecutionStatus, FailurePolicy
from state_manager.store import events, executions
from tests.factories import submit
from tests.live.serving import serving
from tests.live.watching import watched
from tests.store.attempts import claim, completed, failed, settle

if TYPE_CHECKING:
    from sqlalchemy import Engine

    from tests.factories import Submitted

PROGRESS = [0, 0, 0, 25, 25, 50, 75, 100, 100, 100, 75, 50, 25, 25, 50, 75, 100, 100]
"""After each of the events that `retried` makes."""


@pytest.fixture
def retried(engine: Engine) -> Submitted:
    """Return an execution with an end that was retried, and another; among its satellites is every way to end."""
    graph = {"good": [], "bad": [], "behind": ["bad"], "last": ["behind"]}
    submitted = submit(engine, graph, policy=FailurePolicy.CONTINUE)
    settle(engine, *map(completed, claim(engine, submitted, "good")))
    settle(engine, *map(failed, claim(engine, submitted, "bad")))
    executions.retry(engine, submitted.execution_id)
    settle(engine, *map(completed, claim(engine, submitted, "bad")))
    executions.stop(engine, submitted.execution_id, ExecutionStatus.CANCELLED, max_concurrent=1000)
    return submitted


def test_progress_counts_every_end_and_takes_back_what_is_retried(engine: Engine, retried: Submitted) -> None:
    known = Progress(0, 0, len(retried.ids))
    percent = []
    for event in events.after(engine, {retried.execution_id: 0}, 1000):
        known.advance(event)
        percent.append(known.percent)
        assert events.ended_at(engine, retried.execution_id, known.seq) == known.ended
    assert percent == PROGRESS
    snapshot = executions.get(engine, retried.execution_id)
    assert snapshot is not None
    assert Progress.of(snapshot.execution) == known
    statuses = {one.name: one.status for one in snapshot.satellites}
    assert statuses == {"good": "completed", "bad": "completed", "behind": "cancelled", "last": "cancelled"}


def test_resumption_anywhere_shows_the_rest_with_its_progress(database_uri: str, retried: Submitted) -> None:
    with serving(database_uri) as served:
        path = f"/ws/executions/{retried.execution_id}"
        for since in range(len(PROGRESS) + 1):
            watch = watched(served, f"{path}?since={since}")
            shown = [(one["seq"], one["progress"]) for one in watch.events]
            assert shown == list(enumerate(PROGRESS, start=1))[since:]
            assert watch.closed == (1000, "")
