"""Parts start, start again when they die, and leave no process behind, however the end comes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import psutil
import pytest

from local.processes import Part, kill_group, kill_processes_of_home, processes_of_home, spawn
from local.readiness import reason_of_failure
from local.supervisor import CHECK_INTERVAL_S, FIRST_RESTART_DELAY_S, Supervisor

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

ASKED = """
import signal, time
signal.signal(signal.SIGTERM, lambda *_: print("asked", flush=True))
print("interruptible" if signal.getsignal(signal.SIGINT) is signal.default_int_handler else "ignores", flush=True)
while True:
    signal.pause()
"""
"""A part that is asked to stop, and does not."""

STOP_WHEN_ASKED = """
import os, pathlib, signal, sys
from local.processes import Part
from local.stop_signal import StopSignal
from local.supervisor import Supervisor
home = pathlib.Path(sys.argv[1])
stop_signal = StopSignal()
supervisor = Supervisor(home, print)
command = [sys.executable, "-c", sys.argv[2]]
stop = ((signal.SIGTERM, 600.0),)
supervisor.start(Part(name="x", command=command, environ=os.environ, stop=stop, log=home / "log"))
while not stop_signal.wait(600):
    pass
supervisor.stop(stop_signal)
"""

RUN_ONE = """
import os, pathlib, sys
from local.processes import Part
from local.supervisor import Supervisor
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
    assert not list(processes_of_home(tmp_path))


def test_part_that_ignores_the_request_is_killed(supervisor: Supervisor, tmp_path: Path) -> None:
    supervisor.start(part(tmp_path, STUBBORN, stop_after_s=0.05))
    eventually(lambda: is_up(tmp_path))
    supervisor.stop()
    assert not list(processes_of_home(tmp_path))


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
    (one,) = supervisor.running
    first = one.process
    first.kill()
    first.wait()
    assert supervisor.restart_dead_parts() == FIRST_RESTART_DELAY_S
    assert one.process is first
    assert said == []
    clock.now += FIRST_RESTART_DELAY_S
    assert supervisor.restart_dead_parts() == CHECK_INTERVAL_S
    assert said == ["part ended with -9; restarted (deaths in a row: 1)"]
    assert one.process.pid != first.pid
    assert one.process.poll() is None


def test_children_of_a_part_that_dies_do_not_outlive_it(supervisor: Supervisor, tmp_path: Path) -> None:
    supervisor.start(part(tmp_path, WITH_CHILD))
    eventually(lambda: is_up(tmp_path))
    (one,) = supervisor.running
    one.process.kill()
    one.process.wait()
    supervisor.restart_dead_parts()
    eventually(lambda: not list(processes_of_home(tmp_path)))


def test_delay_grows_while_a_part_keeps_dying(
    supervisor: Supervisor, tmp_path: Path, clock: Clock, said: list[str]
) -> None:
    supervisor.start(part(tmp_path, "raise SystemExit(3)"))
    (one,) = supervisor.running
    delays = []
    for _ in range(3):
        one.process.wait()
        delays.append(supervisor.restart_dead_parts())
        clock.now = one.restart_at or clock.now
        supervisor.restart_dead_parts()
    assert delays == pytest.approx([0.1, 0.2, 0.4])
    assert len(said) == 3
    worst = supervisor.most_deaths()
    assert worst is not None
    assert worst.deaths == 3


def test_parts_die_with_a_supervisor_that_is_killed(tmp_path: Path) -> None:
    command = [sys.executable, "-c", RUN_ONE, str(tmp_path), "print('up', flush=True); import time; time.sleep(600)"]
    supervisor = subprocess.Popen(command, stdin=subprocess.PIPE, cwd=ROOT)
    try:
        eventually(lambda: (tmp_path / "log").exists() and "up" in (tmp_path / "log").read_text())
        assert list(processes_of_home(tmp_path))
        supervisor.kill()
        supervisor.wait()
        eventually(lambda: not list(processes_of_home(tmp_path)))
    finally:
        supervisor.kill()
        supervisor.communicate()


def test_second_signal_ends_the_wait_for_a_part_even_where_interrupts_are_ignored(tmp_path: Path) -> None:
    log = tmp_path / "log"

    def logged(word: str) -> bool:
        return log.exists() and word in log.read_text()

    # As a shell starts `command &` in a script.
    ignoring = ["sh", "-c", 'trap "" INT; exec "$@"', "sh"]
    supervisor = subprocess.Popen(
        [*ignoring, sys.executable, "-c", STOP_WHEN_ASKED, str(tmp_path), ASKED],
        env={**os.environ, "PYTHONPATH": "."},
        cwd=ROOT,
    )
    try:
        eventually(lambda: logged("interruptible"))
        supervisor.send_signal(signal.SIGINT)
        eventually(lambda: logged("asked"))
        assert supervisor.poll() is None
        supervisor.send_signal(signal.SIGINT)
        assert supervisor.wait(PATIENCE_S) == 0
        assert not list(processes_of_home(tmp_path))
    finally:
        supervisor.kill()
        supervisor.wait()


def test_part_that_cannot_run_as_configured_is_reported_with_its_last_line(
    supervisor: Supervisor, tmp_path: Path
) -> None:
    fails = "import sys; print('INFO starting\\nno module x\\n', file=sys.stderr); sys.exit(2)"
    supervisor.start(part(tmp_path, fails))
    (one,) = supervisor.running
    one.process.wait()
    assert supervisor.misconfigured() is None
    supervisor.restart_dead_parts()
    assert supervisor.misconfigured() is one
    assert reason_of_failure(one.part, tmp_path) == f"no module x (see {one.part.log})"
    assert reason_of_failure(replace(one.part, log=None), tmp_path) == "no module x"


def test_kill_processes_of_home_ends_what_escaped_into_a_session_of_its_own(tmp_path: Path) -> None:
    daemon = "import os, time; os.fork() and os._exit(0); os.setsid(); print('up', flush=True); time.sleep(600)"
    process = spawn(part(tmp_path, daemon), tmp_path)
    process.wait()
    eventually(lambda: is_up(tmp_path))
    kill_group(process.pid)
    assert list(processes_of_home(tmp_path))
    kill_processes_of_home(tmp_path)
    assert not list(processes_of_home(tmp_path))


def test_kill_processes_of_home_leaves_other_homes_alone(tmp_path: Path) -> None:
    process = spawn(part(tmp_path, WITH_CHILD), tmp_path / "other")
    try:
        kill_processes_of_home(tmp_path)
        assert process.poll() is None
        assert psutil.pid_exists(process.pid)
    finally:
        kill_processes_of_home(tmp_path / "other")
        process.wait()


def test_stopping_ends_what_has_left_its_group_too(supervisor: Supervisor, tmp_path: Path) -> None:
    escapes = """
import os, signal, time
if os.fork() == 0:
    os.setsid()
    print("up", flush=True)
    time.sleep(600)
signal.pause()
"""
    supervisor.start(part(tmp_path, escapes))
    eventually(lambda: is_up(tmp_path))
    supervisor.stop()
    assert not list(processes_of_home(tmp_path))
