"""The event log tells how far an execution was at each of its events."""

from __future__ import annotations

from typing import TYPE_CHECKING

from state_manager.progress import Progress
from state_manager.store import events, executions
from tests.factories import submit
from tests.store.attempts import claim, complete, failed, settle

if TYPE_CHECKING:
    from sqlalchemy import Engine


def test_satellites_that_had_ended_are_counted_at_each_event(engine: Engine) -> None:
    submitted = submit(engine, {"a": [], "b": [], "c": ["b"]})
    complete(engine, submitted, "a")
    settle(engine, failed(claim(engine, submitted, "b")[0]))
    executions.retry(engine, submitted.execution_id)
    complete(engine, submitted, "b")
    log = events.read(engine, submitted.execution_id, after=0, limit=100) or []
    assert len([one for one in log if one.kind == "retried"]) == 3
    progress = Progress(0, 0, 3)
    for event in log:
        progress.advance(event)
        assert events.ended_at(engine, submitted.execution_id, event.seq) == progress.ended
    assert (progress.ended, max(events.ended_at(engine, submitted.execution_id, one.seq) for one in log)) == (2, 3)
