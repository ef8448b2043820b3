"""An orderly stop of a worker hands back what it interrupts, uncharged, at once; nothing fails by it."""

from __future__ import annotations

import os
import signal
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import psutil
import pytest
from sqlalchemy import text

from tests.system import System, fresh_system
from tests.waiting import until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.processes import Process

ONE_ATTEMPT: dict[str, Any] = {"retry_policy": {"max_attempts": 1, "retry_on": ["network_error"]}}


@pytest.fixture(scope="module")
def system(postgres: str, template: str) -> Iterator[System]:
    """Yield a system without beat: nothing repairs what a stop leaves behind."""
    with fresh_system(postgres, template) as system:
        system.start_api()
        yield system


@contextmanager
def running(system: System, worker: Process, file: Path, **config: Any) -> Iterator[str]:
    """Submit a satellite that waits for a file, and one behind it; yield once it runs. Nothing of it stays behind."""
    waits = {"name": "waits", "uses": "satellite/test/wait", "config": {"file": str(file), **config}, **ONE_ATTEMPT}
    execution_id = system.submit(waits, {"name": "after", "uses": "satellite/test/nothing", "dependencies": ["waits"]})
    until(lambda: system.statuses(execution_id)["waits"] == "running", what=f"it runs on {worker.pid}")
    yield execution_id
    system.call("DELETE", f"/executions/{execution_id}")


def kinds(system: System, execution_id: str, name: str) -> list[str]:
    satellite_id = system.satellite(execution_id, name)["satellite_id"]
    _, events = system.call("GET", f"/executions/{execution_id}/events")
    return [event["kind"] for event in events["items"] if event["satellite_id"] == satellite_id]


def child_of(system: System, worker: Process, execution_id: str) -> psutil.Process:
    """Find the child that runs the execution's satellite."""
    with system.engine.connect() as connection:
        pid = connection.execute(
            text("SELECT pid FROM workers WHERE id IN (SELECT worker FROM satellites WHERE execution_id = :id)"),
            {"id": execution_id},
        ).scalar_one()
    assert pid in {child.pid for child in psutil.Process(worker.pid).children(recursive=True)}
    return psutil.Process(pid)


def cold(worker: Process) -> None:
    worker.send(signal.SIGQUIT)


def warm_then_cold(worker: Process) -> None:
    worker.send(signal.SIGTERM)
    until(lambda: "Warm shutdown" in worker.output)
    worker.send(signal.SIGQUIT)


def group_terminated(worker: Process) -> None:
    os.killpg(worker.pid, signal.SIGTERM)


def two_interrupts(worker: Process) -> None:
    os.killpg(worker.pid, signal.SIGINT)
    until(lambda: "Ctrl+C again" in worker.output)
    os.killpg(worker.pid, signal.SIGINT)


STOPS = [cold, warm_then_cold, group_terminated, two_interrupts]


@pytest.mark.parametrize("stop", STOPS)
def test_stop_of_a_worker_hands_back_what_it_interrupts(
    system: System, tmp_path: Path, stop: Callable[[Process], None]
) -> None:
    worker = system.start_worker()
    with running(system, worker, tmp_path / "file") as execution_id:
        stop(worker)
        worker.wait(10)
        assert system.statuses(execution_id) == {"waits": "pending", "after": "pending"}, worker.output
        assert kinds(system, execution_id, "waits") == ["started", "released"], worker.output

        (tmp_path / "file").touch()
        with system.start_worker():
            execution = system.wait(execution_id, within_s=10)
    assert execution["status"] == "completed", worker.output
    assert execution["results"] == {"after": None}
    assert system.satellite(execution_id, "waits")["output"]["attempt"] == 1


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_signal_to_a_child_hands_back_what_it_runs(system: System, tmp_path: Path, number: signal.Signals) -> None:
    with system.start_worker("-c", "1") as worker, running(system, worker, tmp_path / "file") as execution_id:
        child = child_of(system, worker, execution_id)
        child.send_signal(number)
        until(lambda: kinds(system, execution_id, "waits")[:2] == ["started", "released"], within_s=5)
        (tmp_path / "file").touch()
        assert system.wait(execution_id, within_s=10)["status"] == "completed"
        output = system.satellite(execution_id, "waits")["output"]
        assert output["attempt"] == 1
        assert output["pid"] != child.pid
        assert "Traceback" not in worker.output


def test_satellite_that_does_not_end_is_handed_back_before_its_child_is_killed(system: System, tmp_path: Path) -> None:
    worker = system.start_worker()
    with running(system, worker, tmp_path / "file", ignores_interruptions=True) as execution_id:
        cold(worker)
        worker.wait(10)
        assert kinds(system, execution_id, "waits") == ["started", "released"], worker.output
        (tmp_path / "file").touch()
        with system.start_worker():
            assert system.wait(execution_id, within_s=10)["status"] == "completed"


def test_child_that_is_killed_during_a_stop_is_charged_nothing(system: System, tmp_path: Path) -> None:
    worker = system.start_worker()
    with running(system, worker, tmp_path / "file") as execution_id:
        child = child_of(system, worker, execution_id)
        worker.send(signal.SIGTERM)
        until(lambda: "Warm shutdown" in worker.output)
        child.kill()
        worker.wait(20)
        assert kinds(system, execution_id, "waits") == ["started", "released"], worker.output


@pytest.mark.parametrize("pool", ["threads", "solo"])
def test_other_pools_hand_back_too(system: System, tmp_path: Path, pool: str) -> None:
    worker = system.start_worker("-P", pool)
    with running(system, worker, tmp_path / "file") as execution_id:
        cold(worker)
        worker.wait(10)
        assert kinds(system, execution_id, "waits") == ["started", "released"], worker.output


def test_warm_stop_waits_for_what_runs(system: System, tmp_path: Path) -> None:
    worker = system.start_worker()
    with running(system, worker, tmp_path / "file") as execution_id:
        worker.send(signal.SIGTERM)
        until(lambda: "Warm shutdown" in worker.output)
        (tmp_path / "file").touch()
        worker.wait(10)
        assert kinds(system, execution_id, "waits") == ["started", "completed"]
