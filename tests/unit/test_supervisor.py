"""Parts start, start again when they die, and leave no process behind, however the end comes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import psutil
import pytest

from local.supervisor import FIRST_DELAY_S, REST_S, Part, Supervisor, kill_group, marked, spawn, sweep

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

ROOT = Path(__file__).parents[2]
PATIENCE_S = 10.0

WITH_CHILD = """
import subprocess, sys
child = subprocess.Popen([sys.executable, "-c", "import time; print('up', flush=True); time.sleep(600)"])
child.wait()
"""
"""A part with a child of its own, as Celery has; the child says `up` to the log."""

STUBBORN = """
import signal, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
print("up", flush=True)
time.sleep(600)
"""

RUN_ONE = """
import os, pathlib, sys
from local.supervisor import Part, Supervisor
home = pathlib.Path(sys.argv[1])
supervisor = Supervisor(home, print)
supervisor.start(Part(name="x", command=[sys.executable, "-c", sys.argv[2]], environ=os.environ, log=home / "log"))
sys.stdin.read()
"""


def eventually(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline, "did not come true in time"
        os.sched_yield()


def part(home: Path, code: str, *, name: str = "part", stop_after_s: float = 5.0) -> Part:
    return Part(
        name=name,
        command=[sys.executable, "-c", code],
        environ=os.environ,
        stop=((signal.SIGTERM, stop_after_s),),
        log=home / f"{name}.log",
    )


def is_up(home: Path, name: str = "part") -> bool:
    log = home / f"{name}.log"
    return log.exists() and "up" in log.read_text()


class Clock:
    """Time that passes when told."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def said() -> list[str]:
    return []


@pytest.fixture
def supervisor(tmp_path: Path, said: list[str], clock: Clock) -> Iterator[Supervisor]:
    supervisor = Supervisor(tmp_path, said.append, clock)
    yield supervisor
    supervisor.stop()


def test_stopping_ends_the_children_of_a_part_too(supervisor: Supervisor, tmp_path: Path) -> None:
    supervisor.start(part(tmp_path, WITH_CHILD))
    eventually(lambda: is_up(tmp_path))
    supervisor.stop()
    assert not list(marked(tmp_path))


def test_part_that_ignores_the_request_is_killed(supervisor: Supervisor, tmp_path: Path) -> None:
    supervisor.start(part(tmp_path, STUBBORN, stop_after_s=0.05))
    eventually(lambda: is_up(tmp_path))
    supervisor.stop()
    assert not list(marked(tmp_path))


def test_last_started_stops_first(supervisor: Supervisor, tmp_path: Path) -> None:
    code = """
import pathlib, signal, sys
def stop(*_):
    with open({order!r}, "a") as order:
        order.write({name!r})
    sys.exit()
signal.signal(signal.SIGTERM, stop)
print("up", flush=True)
signal.pause()
"""
    order = tmp_path / "order"
    for name in ("a", "b", "c"):
        supervisor.start(part(tmp_path, code.format(order=str(order), name=name), name=name))
        eventually(partial(is_up, tmp_path, name))
    supervisor.stop()
    assert order.read_text() == "cba"


def test_part_that_dies_is_started_again_after_a_delay(
    supervisor: Supervisor, tmp_path: Path, clock: Clock, said: list[str]
) -> None:
    supervisor.start(part(tmp_path, WITH_CHILD))
    (life,) = supervisor.lives
    first = life.process
    first.kill()
    first.wait()
    assert supervisor.tend() == FIRST_DELAY_S
    assert life.process is first
    assert said == ["part ended with -9; started again in 0.1 s"]
    clock.now += FIRST_DELAY_S
    assert supervisor.tend() == REST_S
    assert life.process.pid != first.pid
    assert life.process.poll() is None


def test_children_of_a_part_that_dies_do_not_outlive_it(supervisor: Supervisor, tmp_path: Path) -> None:
    supervisor.start(part(tmp_path, WITH_CHILD))
    eventually(lambda: is_up(tmp_path))
    (life,) = supervisor.lives
    life.process.kill()
    life.process.wait()
    supervisor.tend()
    eventually(lambda: not list(marked(tmp_path)))


def test_delay_grows_while_a_part_keeps_dying(
    supervisor: Supervisor, tmp_path: Path, clock: Clock, said: list[str]
) -> None:
    supervisor.start(part(tmp_path, "raise SystemExit(3)"))
    (life,) = supervisor.lives
    for _ in range(3):
        life.process.wait()
        supervisor.tend()
        clock.now = life.again_at or clock.now
        supervisor.tend()
    assert [line.split()[-2] for line in said] == ["0.1", "0.2", "0.4"]
    worst = supervisor.worst()
    assert worst is not None
    assert worst.deaths == 3


def test_parts_die_with_a_supervisor_that_is_killed(tmp_path: Path) -> None:
    command = [sys.executable, "-c", RUN_ONE, str(tmp_path), "print('up', flush=True); import time; time.sleep(600)"]
    supervisor = subprocess.Popen(command, stdin=subprocess.PIPE, cwd=ROOT)
    try:
        eventually(lambda: (tmp_path / "log").exists() and "up" in (tmp_path / "log").read_text())
        assert list(marked(tmp_path))
        supervisor.kill()
        supervisor.wait()
        eventually(lambda: not list(marked(tmp_path)))
    finally:
        supervisor.kill()
        supervisor.communicate()


def test_sweep_ends_what_escaped_into_a_session_of_its_own(tmp_path: Path) -> None:
    daemon = "import os, time; os.fork() and os._exit(0); os.setsid(); print('up', flush=True); time.sleep(600)"
    process = spawn(part(tmp_path, daemon), tmp_path)
    process.wait()
    eventually(lambda: is_up(tmp_path))
    kill_group(process.pid)
    assert list(marked(tmp_path))
    sweep(tmp_path)
    assert not list(marked(tmp_path))


def test_sweep_leaves_other_homes_alone(tmp_path: Path) -> None:
    process = spawn(part(tmp_path, WITH_CHILD), tmp_path / "other")
    try:
        sweep(tmp_path)
        assert process.poll() is None
        assert psutil.pid_exists(process.pid)
    finally:
        sweep(tmp_path / "other")
        process.wait()
