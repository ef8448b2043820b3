"""The watchdog of a process that runs satellites: interrupts those that have to end, and gives up on those that do not.

A thread of its own, which waits for nothing but time: a database that hangs delays no timeout.
"""

from __future__ import annotations

import faulthandler
import logging
import os
import select
import time
from contextlib import contextmanager
from threading import Lock, Thread
from typing import TYPE_CHECKING

from workers.attempt.interrupts import Interruptible, Reason, interruptible

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from state_manager.store.transitions import Claimed
    from workers.attempt.held_attempts import HeldAttempt, HeldAttempts

STDERR = 2

YIELD_S = 5.0
"""Longest time that a satellite may take to end after it was interrupted."""

STOP_YIELD_S = 1.0
"""The same in an orderly stop: whoever stops a worker kills what is left of it soon after."""

INTERRUPT_AGAIN_S = 0.1
"""Interval at which an interruption that did not get through is sent again."""

LONGEST_WAIT_S = 3600.0
"""Longest sleep of the thread: poll takes no number of milliseconds above 2**31."""

_log = logging.getLogger(__name__)


class Watchdog:
    """Interrupts satellites that are past their timeout, were taken away, or run in a process that is to stop.

    `give_up` is called with an attempt that has not ended in its time after that, in the watchdog's thread. With
    `ends_process`, a satellite that never lets go of the interpreter's lock ends the process too.
    """

    def __init__(self, held: HeldAttempts, give_up: Callable[[HeldAttempt], None], *, ends_process: bool) -> None:
        self.stopping = False
        """True once this process was asked to stop: nothing new is started."""
        self._held = held
        self._give_up = give_up
        self._ends_process = ends_process
        self._waits_until = float("inf")
        self._wake_reader, self._wake_writer = os.pipe()
        self._thread: Thread | None = None
        self._starting = Lock()

    @contextmanager
    def watch(self, attempt: Claimed) -> Iterator[Interruptible]:
        """Interrupt the satellite's own code, which runs exposed in this block, when it has to end."""
        held, timeout_s = self._held.get(attempt), attempt.timeout_s
        if self._thread is None:
            self._start()
        with interruptible() as run:
            if held is not None:
                held.run = run  # first: whoever takes it away or stops this process after the next lines sees it
                if timeout_s is not None:
                    held.deadline = time.monotonic() + timeout_s
                    if held.deadline < self._waits_until:
                        self._wake()
            if held is None or held.taken_away:
                run.interrupt(Reason.TAKEN_AWAY)
            if self.stopping:
                run.interrupt(Reason.STOPPING)
            try:
                with self._exit_when_overdue(timeout_s):
                    yield run
            finally:
                if held is not None:
                    held.run = held.deadline = held.kill_at = None

    def take_away(self, held: HeldAttempt) -> None:
        """Interrupt an attempt that is no longer this process's; one that has not started will not start."""
        held.taken_away = True
        self._wake()

    def stop(self) -> None:
        """Interrupt whatever runs, so that it can be handed back. Safe to call in a signal handler."""
        self.stopping = True
        self._wake()

    @contextmanager
    def _exit_when_overdue(self, timeout_s: float | None) -> Iterator[None]:
        """End the process when the timeout is long over: in a thread of C, which needs no interpreter lock."""
        if timeout_s is None or not self._ends_process:
            yield
            return
        faulthandler.dump_traceback_later(timeout_s + YIELD_S, exit=True, file=STDERR)
        try:
            yield
        finally:
            faulthandler.cancel_dump_traceback_later()

    def _start(self) -> None:
        """Start the thread with the first satellite: a parent of children runs none."""
        with self._starting:
            if self._thread is None:
                self._thread = Thread(target=self._run, name="watchdog", daemon=True)
                self._thread.start()

    def _wake(self) -> None:
        os.write(self._wake_writer, b"x")

    def _run(self) -> None:
        poll = select.poll()
        poll.register(self._wake_reader, select.POLLIN)
        while True:
            # First, so that a deadline that is set while these are collected wakes the thread.
            self._waits_until = float("inf")
            moments = [moment for held in self._held.all() for moment in _moments(held)]
            self._waits_until = min(moments, default=float("inf"))
            wait_s = min(self._waits_until - time.monotonic(), LONGEST_WAIT_S)
            if poll.poll(max(wait_s, 0) * 1000):
                os.read(self._wake_reader, 1024)
            try:
                self._act()
            except Exception:  # noqa: BLE001  (the thread must outlive whatever one attempt meets)
                _log.exception("the watchdog could not deal with a satellite, and looks again")

    def _act(self) -> None:
        now = time.monotonic()
        for held in self._held.all():
            if held.taken_away:
                self._interrupt(held, Reason.TAKEN_AWAY, YIELD_S)
            if self.stopping:
                self._interrupt(held, Reason.STOPPING, STOP_YIELD_S)
            if held.deadline is not None and now >= held.deadline:
                held.deadline = None
                self._interrupt(held, Reason.TIMEOUT, YIELD_S)
            run, kill_at = held.run, held.kill_at
            if run is None or kill_at is None or run.reason is None:
                continue
            if now >= kill_at:
                held.kill_at = None
                self._give_up(held)
            else:
                run.interrupt(run.reason)

    def _interrupt(self, held: HeldAttempt, reason: Reason, yield_s: float) -> None:
        run = held.run
        if run is not None and run.reason is None:
            held.kill_at = time.monotonic() + yield_s
            run.interrupt(reason)


def _moments(held: HeldAttempt) -> Iterator[float]:
    """Name the moments at which something is to be done about an attempt."""
    run = held.run
    if run is None:
        return
    if held.deadline is not None:
        yield held.deadline
    if held.kill_at is not None:
        yield held.kill_at if run.delivered else time.monotonic() + INTERRUPT_AGAIN_S
