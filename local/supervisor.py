"""Starts the parts in order, starts again what dies, and stops all of them in reverse."""

from __future__ import annotations

import ctypes
import os
import pwd
import select
import signal
import socket
import subprocess
import sys
import time
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import psutil

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path

MARK = "EXOSPHERE_PART_OF"
"""The variable that tells, in every process under a supervisor, which home it belongs to."""

STDERR = 2
PR_SET_PDEATHSIG = 1  # <linux/prctl.h>
LIBC = ctypes.CDLL(None)
FIRST_DELAY_S, LAST_DELAY_S = 0.1, 10.0
REST_S = 60.0
"""So long there is nothing to do unless a part dies."""
HEALTHY_S = 10.0
"""A part that lived this long is started again without counting its earlier deaths."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """One process to keep alive."""

    name: str
    command: Sequence[str]
    environ: Mapping[str, str]
    stop: tuple[tuple[signal.Signals, float], ...] = ((signal.SIGTERM, 5.0),)
    """How to ask it to stop, and for how many seconds to wait each time; then its process group is killed."""
    orphaned: signal.Signals = signal.SIGKILL
    """What it gets when the supervisor itself is killed."""
    user: str | None = None
    log: Path | None = None
    """Where its output goes; standard error if None."""


class Interruption:
    """SIGTERM and SIGINT as a condition to look at and to wait for; only in the main thread.

    The handlers stay: a second Ctrl-C must not cut the stopping short.
    """

    def __init__(self) -> None:
        self.came = False
        self._reader, self._writer = socket.socketpair()
        self._reader.settimeout(0)
        self._writer.settimeout(0)
        signal.set_wakeup_fd(self._writer.fileno(), warn_on_full_buffer=False)
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._note)
        signal.signal(signal.SIGCHLD, lambda *_: None)

    def _note(self, *_: object) -> None:
        self.came = True

    def wait(self, seconds: float) -> bool:
        """Wait, at most until a signal comes (also the end of a child), and tell whether to stop."""
        if not self.came and select.select([self._reader], [], [], seconds)[0]:
            with suppress(BlockingIOError):
                self._reader.recv(4096)
        return self.came


@dataclass(slots=True)
class Life:
    """A part and its present process."""

    part: Part
    process: subprocess.Popen[bytes]
    since: float
    deaths: int = 0
    again_at: float | None = None


@dataclass(slots=True)
class Supervisor:
    """The parts of one home."""

    home: Path
    say: Callable[[str], None]
    clock: Callable[[], float] = time.monotonic
    lives: list[Life] = field(default_factory=list)

    def start(self, part: Part) -> None:
        """Start a part after those that it needs."""
        self.lives.append(Life(part, spawn(part, self.home), self.clock()))

    def tend(self) -> float:
        """Start again, after a growing delay, what has died; give the seconds until there is more to do.

        That is unless a part dies, which `Interruption.wait` notices.
        """
        for life in self.lives:
            now = self.clock()
            if life.again_at is None and life.process.poll() is not None:
                kill_group(life.process.pid)
                life.deaths = 1 if now - life.since > HEALTHY_S else life.deaths + 1
                delay = min(FIRST_DELAY_S * 2 ** (life.deaths - 1), LAST_DELAY_S)
                life.again_at = now + delay
                self.say(f"{life.part.name} ended with {life.process.returncode}; started again in {delay:g} s")
            if life.again_at is not None and life.again_at <= now:
                life.process, life.since, life.again_at = spawn(life.part, self.home), now, None
        again_at = [life.again_at for life in self.lives if life.again_at is not None]
        return max(min(again_at) - self.clock(), 0) if again_at else REST_S

    def worst(self) -> Life | None:
        """Give the part that died most often in a row, if any did."""
        return max((life for life in self.lives if life.deaths), key=lambda life: life.deaths, default=None)

    def stop(self) -> None:
        """Stop everything, the last started first, and leave no process behind."""
        while self.lives:
            end(self.lives.pop())
        sweep(self.home)


def spawn(part: Part, home: Path) -> subprocess.Popen[bytes]:
    """Start the process of a part in a session of its own, so that Ctrl-C reaches it only through us.

    From the main thread only: Linux sends the parent's death signal when the *thread* that forked ends.
    """
    parent = os.getpid()

    def prepare() -> None:
        die_with_parent(part.orphaned)
        if os.getppid() != parent:
            os._exit(1)

    output = part.log.open("ab") if part.log else None
    try:
        return subprocess.Popen(
            part.command,
            env={**part.environ, MARK: str(home)},
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


def end(life: Life) -> None:
    """Ask the process to stop, ever harder, and kill what is left of its group."""
    if life.again_at is not None:
        return  # dead already, and its number may be another's by now
    for number, seconds in life.part.stop:
        if life.process.poll() is None:
            life.process.send_signal(number)
            with suppress(subprocess.TimeoutExpired):
                life.process.wait(seconds)
    kill_group(life.process.pid)
    life.process.wait()


def kill_group(leader: int) -> None:
    """Kill every process of the group that this process led."""
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(leader, signal.SIGKILL)


def die_with_parent(number: signal.Signals) -> None:
    """Let Linux send this signal when the parent dies, even by kill -9."""
    if sys.platform == "linux":
        LIBC.prctl(PR_SET_PDEATHSIG, number)


def die_with_wrapper(name: str) -> None:
    """Die with our parent if it is a program of this name: whoever kills `uv run` means what it runs."""
    parent = psutil.Process().parent()
    if parent and parent.name() == name:
        die_with_parent(signal.SIGKILL)


def sweep(home: Path) -> None:
    """Kill what an earlier supervisor of this home, or its parts, left running."""
    left = list(marked(home))
    for process in left:
        with suppress(psutil.NoSuchProcess):
            process.kill()
    survivors(left, 5)


def survivors(processes: Sequence[psutil.Process], seconds: float) -> list[psutil.Process]:
    """Wait for processes that are not ours to end, and give those that did not.

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
        time.sleep(0.01)
        left = list(filter(alive, left))
    return left


def marked(home: Path) -> Iterator[psutil.Process]:
    """List the processes that carry the mark of this home, but for this one."""
    for process in psutil.process_iter():
        with suppress(psutil.Error, OSError):
            if process.pid != os.getpid() and process.environ().get(MARK) == str(home):
                yield process
