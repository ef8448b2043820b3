"""The state of a live display follows from updates alone, without a terminal."""

from __future__ import annotations

from typing import Any

from exospherehost.command.display_state import DisplayState
from exospherehost.command.live import format_duration
from exospherehost.state_manager import Execution
from exospherehost.state_manager.execution_view import ExecutionView
from tests.client.scripted_server import EXECUTION, STORY, event, execution, progress, snapshot

PAST = "2020-01-01T00:00:00Z"


def state_after(*messages: dict[str, Any]) -> DisplayState:
    state = DisplayState(clock=iter(range(1000)).__next__)  # a second goes by at each look
    view = ExecutionView(EXECUTION)
    for message in messages:
        for update in view.apply_message(message):
            state.apply(update)
    return state


def begun(**fields: Any) -> dict[str, Any]:
    return snapshot(cluster_id="p/n", started_at=PAST, **fields)


def test_board_shows_what_runs_with_what_it_said_last() -> None:
    state = state_after(begun(), STORY[0], progress("a", 0.4, "page 4"), progress("a", 0.5, "page 5"))

    [running] = state.running.values()
    assert (running.name, running.fraction, running.message) == ("a", 0.5, "page 5")
    assert (state.title, state.status, state.total) == ("p/n", "running", 2)


def test_what_has_ended_runs_no_more_and_is_counted() -> None:
    state = state_after(begun(), *STORY)

    assert state.running == {}
    assert [(one.name, one.kind) for one in state.recent] == [("a", "completed"), ("b", "completed")]
    assert state.counts == {"completed": 2}
    assert (state.status, state.percent) == ("completed", 100)


def test_retried_attempt_begins_anew() -> None:
    state = state_after(
        begun(),
        STORY[0],
        progress("a", 0.9, "nearly"),
        event(4, "a", "retrying", "pending", attempt=1, error="ValueError: no"),
        event(5, "a", "started", "running", attempt=2),
    )

    [running] = state.running.values()
    assert (running.attempt, running.fraction, running.message) == (2, None, "")
    assert [one.error for one in state.recent] == ["ValueError: no"]


def test_snapshot_tells_what_has_failed_and_what_runs() -> None:
    one = {"satellite_id": "a", "name": "a", "status": "failed", "attempt": 1, "error": "no", "duration_ms": 1500.0}
    other = {"satellite_id": "b", "name": "b", "status": "running", "attempt": 1, "start_time": PAST}
    seen = Execution(execution(cluster_id="p/n", started_at=PAST, satellites=[one, other]))
    state = DisplayState(clock=lambda: 0.0)

    [failed] = state.apply(ExecutionView(EXECUTION).apply_snapshot(seen))

    assert (failed.name, failed.seconds, failed.error) == ("a", 1.5, "no")
    assert state.running["b"].since < 0
    assert state.since is not None
    assert state.since < 0


def test_durations_are_written_for_people() -> None:
    assert [format_duration(value) for value in (0.04, 59.94, 125, 3725)] == ["0.0 s", "59.9 s", "2:05", "1:02:05"]
