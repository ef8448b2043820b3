"""A command is ended with everything that it started: on an interruption, and when its worker is killed."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import subprocess
import sys
from functools import partial
from typing import TYPE_CHECKING, Any

import psutil
import pytest

from tests.files.running import context
from tests.waiting import until
from workers.satellites.run_command import run_command

if TYPE_CHECKING:
    from pathlib import Path

# It starts a child in the same process group, one in a session of its own, and an orphan, and tells their ids.
FAMILY = """
import json, os, signal, subprocess, sys, time
if "stubborn" in sys.argv: signal.signal(signal.SIGTERM, signal.SIG_IGN)
sleep = [sys.executable, "-c", "import time; time.sleep(600)"]
family = [os.getpid(), subprocess.Popen(sleep).pid, subprocess.Popen(sleep, start_new_session=True).pid]
orphan = "import subprocess, sys; print(subprocess.Popen(sys.argv[1:], start_new_session=True, stdout=2).pid)"
family.append(int(subprocess.run([sys.executable, "-c", orphan, *sleep], stdout=-1, text=True).stdout))
with open(sys.argv[1] + ".new", "w") as file: json.dump(family + [os.getppid()], file)
os.rename(sys.argv[1] + ".new", sys.argv[1])
if "leave" in sys.argv: sys.exit()
time.sleep(600)
"""


def told(file: Path) -> list[int]:
    """Wait for the family, and return the ids of its processes and of its supervisor."""
    until(file.exists)
    family: list[int] = json.loads(file.read_text())
    return family


def gone(family: list[int]) -> bool:
    return not any(map(alive, family))


def alive(pid: int) -> bool:
    with contextlib.suppress(psutil.NoSuchProcess):
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    return False


def config(python: str, file: Path, *options: str) -> dict[str, Any]:
    return {"command": [python, "-c", FAMILY, str(file), *options]}


@pytest.mark.parametrize("options", [(), ("stubborn",)])
def test_interruption_ends_the_command_and_all_that_it_started(
    python: str, tmp_path: Path, options: tuple[str, ...]
) -> None:
    async def interrupted() -> list[int]:
        running = asyncio.ensure_future(run_command(context(config(python, tmp_path / "family", *options))))
        family = await asyncio.to_thread(told, tmp_path / "family")
        assert all(map(alive, family))
        running.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await running
        return family

    assert gone(asyncio.run(interrupted()))  # at once: another worker may run it again as soon as this returns


def test_command_that_ends_leaves_nothing_behind(python: str, tmp_path: Path) -> None:
    asyncio.run(run_command(context(config(python, tmp_path / "family", "leave"))))
    assert gone(told(tmp_path / "family"))


WORKER = """
import asyncio, json, sys
from tests.files.running import context
from workers.satellites.run_command import run_command
asyncio.run(run_command(context(json.loads(sys.argv[1]))))
"""


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_command_ends_when_its_worker_is_killed(python: str, tmp_path: Path, number: signal.Signals) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", WORKER, json.dumps(config(python, tmp_path / "family", "stubborn"))]
    ) as worker:
        family = told(tmp_path / "family")
        worker.send_signal(number)
    until(lambda: gone(family), within_s=10)


def test_command_ends_when_its_supervisor_is_asked_to_or_killed(python: str, tmp_path: Path) -> None:
    for number in (signal.SIGTERM, signal.SIGKILL):
        file = tmp_path / f"family-{number}"
        with subprocess.Popen(
            [sys.executable, "-c", WORKER, json.dumps(config(python, file))], stderr=subprocess.DEVNULL
        ) as worker:
            command, *others, supervisor = told(file)
            os.kill(supervisor, number)
            until(partial(gone, [command]), within_s=10)
            for pid in others:  # of a killed supervisor
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
        assert worker.returncode == 1
