"""A watcher receives every event in order, and ends with the state that the database has."""

from __future__ import annotations

import json
import signal
import socket
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any
from uuid import UUID

import pytest
from sqlalchemy import func, select
from websockets.sync.client import connect

from state_manager.store.tables import events
from tests.chaos.load import chain, fan
from tests.live.watching import watched, watching
from tests.processes import free_port
from tests.waiting import until

if TYPE_CHECKING:
    from pathlib import Path

    from tests.live.watching import Watch
    from tests.system import System


API = "api.app:create_app()"


def gated(file: Path, *satellites: dict[str, Any]) -> list[dict[str, Any]]:
    """Put satellites behind one that waits for a file."""
    gate = {"name": "gate", "uses": "satellite/test/wait", "config": {"file": str(file)}}
    return [gate, *({**one, "dependencies": one.get("dependencies") or ["gate"]} for one in satellites)]


def events_of(system: System, execution_id: str, after: int = 0) -> list[dict[str, Any]]:
    """Read the events by REST, page by page."""
    found: list[dict[str, Any]] = []
    while page := system.call("GET", f"/executions/{execution_id}/events?after={after}&limit=200")[1]["items"]:
        found += page
        after = page[-1]["seq"]
    return found


def assert_it_saw_all(watch: Watch, system: System, execution_id: str, since: int | None = None) -> None:
    """Hold that these are the events after its snapshot, none missing, none twice, and its last the execution's."""
    if since is None:
        assert watch.snapshot is not None
        since = watch.snapshot["seq"]
    shown = [{key: one[key] for key in one if key not in {"type", "progress"}} for one in watch.events]
    assert shown == events_of(system, execution_id, since)
    assert watch.closed == (1000, "")


def test_watcher_is_shown_the_execution_and_told_every_event_to_its_last(system: System, tmp_path: Path) -> None:
    execution_id = system.submit(*gated(tmp_path / "open", *chain(5, 0.02), *fan(20)))
    with watching(system, f"/ws/executions/{execution_id}") as watch:
        assert watch.snapshot is not None
        assert watch.snapshot["execution"]["status"] == "running"
        (tmp_path / "open").touch()
        watch.to_the_end()
    assert_it_saw_all(watch, system, execution_id)
    last = watch.events[-1]
    assert (last["satellite_id"], last["status"], last["progress"]) == (None, "completed", 100)
    progress = [one["progress"] for one in watch.events]
    assert progress == sorted(progress)
    assert system.execution(execution_id)["seq"] == last["seq"]


def test_progress_counts_the_satellites_that_a_fan_out_adds(system: System) -> None:
    each = {"name": "each", "uses": "satellite/test/nothing", "for_each": [1, 2, 3], "dependencies": ["first"]}
    execution_id = system.submit({"name": "first", "uses": "satellite/test/nothing"}, each)
    system.wait(execution_id)
    whole = watched(system, f"/ws/executions/{execution_id}?since=0")
    assert_it_saw_all(whole, system, execution_id, since=0)
    total, ended = 2, 0
    for event in whole.events:
        total += event["data"]["children"] if event["kind"] == "expanded" else 0
        ended += event["kind"] == "completed" and event["satellite_id"] is not None
        assert event["progress"] == round(100 * ended / total, 2)
        later = watched(system, f"/ws/executions/{execution_id}?since={event['seq']}")
        assert [one["progress"] for one in later.events] == [
            one["progress"] for one in whole.events if one["seq"] > event["seq"]
        ]
    assert (total, ended) == (5, 5)


def test_many_watchers_of_one_execution_are_told_the_same(system: System, tmp_path: Path) -> None:
    execution_id = system.submit(*gated(tmp_path / "open", *fan(100, 0.001)))

    with ExitStack() as clients:
        path = f"/ws/executions/{execution_id}"
        watches = [clients.enter_context(watching(system, path)) for _ in range(50)]
        (tmp_path / "open").touch()
        for one in watches:
            assert_it_saw_all(one.to_the_end(), system, execution_id)


@pytest.mark.parametrize("since", [0, 1, 4])
def test_watcher_goes_on_after_the_event_that_it_names(system: System, tmp_path: Path, since: int) -> None:
    execution_id = system.submit(*gated(tmp_path / "open", *chain(3, 0.01)))
    until(lambda: system.execution(execution_id)["seq"] >= 3, what="the gate has started")
    if since > 3:
        (tmp_path / "open").touch()
        system.wait(execution_id)
    with watching(system, f"/ws/executions/{execution_id}?since={since}") as watch:
        (tmp_path / "open").touch()
        watch.to_the_end()
    assert watch.snapshot is None
    assert_it_saw_all(watch, system, execution_id, since)


def test_what_has_ended_is_shown_and_closed(system: System) -> None:
    execution_id = system.submit(*chain(2, 0))
    ended = system.wait(execution_id)
    watch = watched(system, f"/ws/executions/{execution_id}")
    assert watch.snapshot == {"type": "snapshot", "seq": ended["seq"], "execution": ended}
    assert (watch.events, watch.closed) == ([], (1000, ""))
    last = watched(system, f"/ws/executions/{execution_id}?since={ended['seq']}")
    assert (last.snapshot, last.events, last.closed) == (None, [], (1000, ""))


def test_resumption_far_behind_gets_all_of_it(system: System) -> None:
    execution_id = system.submit(*fan(3_000, 0))
    system.wait(execution_id)
    watch = watched(system, f"/ws/executions/{execution_id}?since=0")
    assert_it_saw_all(watch, system, execution_id, since=0)


def test_satellite_is_watched_alone_and_until_its_own_end(system: System, tmp_path: Path) -> None:
    execution_id = system.submit(*gated(tmp_path / "open", *chain(3, 0.01)))
    middle = system.satellite(execution_id, "link-1")["satellite_id"]
    with watching(system, f"/ws/satellites/{middle}") as watch:
        (tmp_path / "open").touch()
        watch.to_the_end()
    assert watch.snapshot is not None
    assert watch.snapshot["satellite"]["status"] == "pending"
    assert [(one["name"], one["kind"]) for one in watch.events] == [("link-1", "started"), ("link-1", "completed")]
    assert watch.closed == (1000, "")
    system.wait(execution_id)
    after = watched(system, f"/ws/satellites/{middle}")
    assert after.snapshot is not None
    assert after.snapshot["satellite"] == system.satellite(execution_id, "link-1")
    assert (after.events, after.closed) == ([], (1000, ""))
    again = watched(system, f"/ws/satellites/{middle}?since=0")
    assert ([one["kind"] for one in again.events], again.closed) == (["started", "completed"], (1000, ""))


def test_cancellation_and_retry_reach_watchers(system: System, tmp_path: Path) -> None:
    execution_id = system.submit(*gated(tmp_path / "never"))
    with watching(system, f"/ws/executions/{execution_id}") as watch:
        assert system.call("DELETE", f"/executions/{execution_id}")[0] == 202
        watch.to_the_end()
    assert [one["kind"] for one in watch.events][-2:] == ["cancelled", "cancelled"]
    assert_it_saw_all(watch, system, execution_id)

    note = {"file": str(tmp_path / "notes"), "needs": str(tmp_path / "needed")}
    failing = system.submit({"name": "note", "uses": "satellite/test/note", "config": note, "retries": 0})
    first = watched(system, f"/ws/executions/{failing}")
    assert first.snapshot is not None
    assert (first.events or [first.snapshot["execution"]])[-1]["status"] == "failed"
    (tmp_path / "needed").touch()
    assert system.call("POST", f"/executions/{failing}/retry")[0] == 202
    system.wait(failing)
    whole = watched(system, f"/ws/executions/{failing}?since=0")
    assert_it_saw_all(whole, system, failing, since=0)
    assert [one["progress"] for one in whole.events if one["satellite_id"] is None] == [0, 0, 100, 100, 100]


def test_retry_is_seen_by_whoever_comes_right_after_it(system: System, tmp_path: Path) -> None:
    note = {"file": str(tmp_path / "notes"), "needs": str(tmp_path / "needed")}
    execution_id = system.submit({"name": "note", "uses": "satellite/test/note", "config": note, "retries": 0})
    system.wait(execution_id)
    assert watched(system, f"/ws/executions/{execution_id}").closed == (1000, "")
    (tmp_path / "needed").touch()
    assert system.call("POST", f"/executions/{execution_id}/retry")[0] == 202
    watch = watched(system, f"/ws/executions/{execution_id}")
    assert watch.snapshot is not None
    assert (watch.events or [watch.snapshot["execution"]])[-1]["status"] == "completed"


def test_progress_arrives_and_is_written_nowhere(system: System, tmp_path: Path) -> None:
    config = {"begins": str(tmp_path / "begin"), "ends": str(tmp_path / "end")}
    execution_id = system.submit({"name": "steps", "uses": "satellite/test/step", "config": config})
    with watching(system, f"/ws/executions/{execution_id}") as watch:
        (tmp_path / "begin").touch()
        while not watch.progress or watch.progress[-1]["progress"] < 1:
            assert watch.next()
        (tmp_path / "end").touch()
        watch.to_the_end()
    assert_it_saw_all(watch, system, execution_id)
    last = watch.progress[-1]
    assert (last["name"], last["message"], last["attempt"]) == ("steps", "step 1000 of 1000", 1)
    assert last["execution_id"] == execution_id
    with system.engine.connect() as connection:
        query = select(func.count()).where(events.c.execution_id == execution_id)
        assert connection.execute(query).scalar_one() == 5


def test_system_metrics_come_again_and_again(system: System) -> None:
    with connect(f"ws://127.0.0.1:{system.port}/ws/system/metrics") as connection:
        first, second = (json.loads(connection.recv(timeout=10)) for _ in range(2))
    assert [(one["type"], one["seq"]) for one in (first, second)] == [("snapshot", 1), ("metrics", 2)]
    metrics = first["metrics"]
    assert metrics["workers"] == 1
    assert metrics["queues"]["satellites"] == 0
    assert metrics["executions"].keys() == {"pending", "running", "completed", "failed", "cancelled"}
    assert 0 <= metrics["machine"]["memory_percent"] <= 100
    assert first["at"] < second["at"]


@pytest.mark.parametrize("kind", ["executions", "satellites"])
@pytest.mark.parametrize("name", ["nonsense", str(UUID(int=7))])
def test_what_is_not_there_closes_with_4404(system: System, kind: str, name: str) -> None:
    watch = watched(system, f"/ws/{kind}/{name}")
    assert watch.closed == (4404, f"there is no {kind[:-1]} {name}")


@pytest.mark.parametrize("since", ["-1", "x", "", "9" * 40, "1.0", "%F0%9D%9F%98", "99999"])
def test_wrong_since_closes_with_4422_and_names_it(system: System, since: str) -> None:
    execution_id = system.submit(*chain(1, 0))
    watch = watched(system, f"/ws/executions/{execution_id}?since={since}")
    assert watch.closed is not None
    assert watch.closed[0] == 4422
    assert (watch.closed[1] or "").startswith("since: ")


def test_server_that_stops_says_so(system: System, tmp_path: Path) -> None:
    execution_id = system.submit(*gated(tmp_path / "open"))
    assert system.api is not None
    try:
        with watching(system, f"/ws/executions/{execution_id}") as watch:
            system.api.send(signal.SIGTERM)
            watch.to_the_end()
        assert watch.closed == (1001, "the server is shutting down")
        assert system.api.wait(10) == 0
    finally:
        system.start_api()
    (tmp_path / "open").touch()
    assert watched(system, f"/ws/executions/{execution_id}?since=3").closed == (1000, "")


def test_threads_serve_watchers_too(system: System, tmp_path: Path) -> None:
    execution_id = system.submit(*gated(tmp_path / "open", *fan(50, 0.001)))
    port = free_port()
    api = system.start("-m", "gunicorn", "-k", "gthread", "--threads", "8", "-b", f"127.0.0.1:{port}", API)
    until(lambda: api.returncode is not None or is_listening(port), what="the API listens")
    with ExitStack() as clients:
        path = f"/ws/executions/{execution_id}"
        watches = [clients.enter_context(watching(system, path, port)) for _ in range(5)]
        (tmp_path / "open").touch()
        for one in watches:
            assert_it_saw_all(one.to_the_end(), system, execution_id)
    last = system.submit(*gated(tmp_path / "never"))
    with watching(system, f"/ws/executions/{last}", port) as watch:
        api.send(signal.SIGTERM)
        watch.to_the_end()
    assert watch.closed == (1001, "the server is shutting down")
    assert api.wait(10) == 0
    assert system.call("DELETE", f"/executions/{last}")[0] == 202


def is_listening(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), 1).close()
    except OSError:
        return False
    return True
