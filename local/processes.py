"""The processes of a home: they end with the supervisor, and are found by a variable in their environment."""

from __future__ import annotations

import ctypes
import os
import pwd
import signal
import subprocess
import sys
import time
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

import psutil

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

HOME_VARIABLE = "EXOSPHERE_PART_OF"
"""The environment variable by which every process under a supervisor tells its home."""

STDERR = 2
PR_SET_PDEATHSIG = 1  # <linux/prctl.h>
LIBC = ctypes.CDLL(None)
POLL_S = 0.01


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """One process of the system: how to start it, and how to stop it."""

    name: str
    command: Sequence[str]
    environ: Mapping[str, str]
    stop: tuple[tuple[signal.Signals, float], ...] = ((signal.SIGTERM, 5.0),)
    """Signals to stop it, each with the seconds to wait after it; then its process group is killed."""
    on_parent_death: signal.Signals = signal.SIGKILL
    """The signal it gets when the supervisor itself is killed."""
    user: str | None = None
    log: Path | None = None
    """The file that its output is appended to; standard error if None."""


def spawn(part: Part, home: Path) -> subprocess.Popen[bytes]:
    """Start the process of a part in a session of its own, so that Ctrl-C reaches it only through us.

    From the main thread only: Linux sends the parent's death signal when the *thread* that forked ends.
    """
    parent = os.getpid()

    def prepare() -> None:
        # An ignored signal stays ignored in children: under `command &` in a script they could not be interrupted.
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, signal.SIG_DFL)
        die_with_parent(part.on_parent_death)
        if os.getppid() != parent:
            os._exit(1)

    output = part.log.open("ab") if part.log else None
    try:
        return subprocess.Popen(
            part.command,
            env={**part.environ, HOME_VARIABLE: str(home)},
            stdin=subprocess.DEVNULL,
            stdout=output or STDERR,
            stderr=output,
            user=part.user,
            group=part.user and pwd.getpwnam(part.user).pw_gid,
            extra_groups=None if part.user is None else [],
            start_new_session=True,
            preexec_fn=prepare,  # noqa: PLW1509 - no other thread runs here
        )
    finally:
        if output:
            output.close()


def kill_group(leader: int) -> None:
    """Kill every process of the group that this process led."""
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(leader, signal.SIGKILL)


def die_with_parent(number: signal.Signals) -> None:
    """Have Linux send us this signal when the parent dies, even by kill -9."""
    if sys.platform == "linux":
        LIBC.prctl(PR_SET_PDEATHSIG, number)


def die_with_uv() -> None:
    """Die with our parent if that is `uv run`: whoever kills it means the program that it runs."""
    parent = psutil.Process().parent()
    if parent and parent.name() == "uv":
        die_with_parent(signal.SIGKILL)


def processes_of_home(home: Path) -> Iterator[psutil.Process]:
    """List the processes that carry the mark of this home, except this one."""
    for process in psutil.process_iter():
        with suppress(psutil.Error, OSError):
            if process.pid != os.getpid() and process.environ().get(HOME_VARIABLE) == str(home):
                yield process


def kill_processes_of_home(home: Path) -> None:
    """Kill what an earlier supervisor of this home, or its parts, left running."""
    found = list(processes_of_home(home))
    for process in found:
        with suppress(psutil.NoSuchProcess):
            process.kill()
    wait_for_end(found, 5)


def wait_for_end(processes: Sequence[psutil.Process], seconds: float) -> list[psutil.Process]:
    """Wait for processes that are not our children to end; return those that did not.

    A zombie has ended, but not before its last thread: until then its sockets stay open.
    """

    def alive(process: psutil.Process) -> bool:
        try:
            ended = process.status() == psutil.STATUS_ZOMBIE and process.num_threads() <= 1
            return bool(process.is_running() and not ended)
        except psutil.NoSuchProcess:
            return False

    deadline = time.monotonic() + seconds
    left = list(filter(alive, processes))
    while left and time.monotonic() < deadline:
        time.sleep(POLL_S)
        left = list(filter(alive, left))
    return left
