"""Interruption of a satellite that has to end, raised only while its own code runs.

In the main thread (prefork, solo) a signal interrupts it, which also ends a blocking system call; in a threads pool
an asynchronous exception, at the thread's next bytecode. An `async` satellite's task is cancelled instead. During a
call of the satellite into this package (`shielded`) nothing is raised, because an exception in the middle of a
database call would ruin the connection: an interruption that comes meanwhile is raised when the call returns.
"""

from __future__ import annotations

import asyncio
import ctypes
import signal
import threading
from contextlib import contextmanager
from contextvars import ContextVar
from enum import StrEnum
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Coroutine, Iterator

SIGNAL = signal.SIGUSR2


class Reason(StrEnum):
    """Why a satellite is interrupted."""

    TIMEOUT = "timeout"
    """It is past its `timeout`."""
    TAKEN_AWAY = "taken_away"
    """The attempt is no longer this worker's: it was cancelled, or counted as lost."""
    STOPPING = "stopping"
    """Its worker stops, and hands the attempt back."""


class Interrupted(BaseException):
    """Raised inside a satellite that has to end. No `Exception`, so that a satellite's own handlers let it pass."""


class Interruptible:
    """One run of a satellite's code, which another thread may interrupt."""

    def __init__(self) -> None:
        self.reason: Reason | None = None
        self.delivered = False
        """True once the satellite has learnt that it has to end."""
        self._thread = threading.current_thread()
        self._in_main_thread = self._thread is threading.main_thread()
        self._exposed = False
        self._task: asyncio.Task[Any] | None = None
        self._lock = threading.Lock()

    def interrupt(self, reason: Reason) -> None:
        """Ask the satellite to end. Call it from another thread, again until it is `delivered`; the first reason stays.

        A signal that comes just before a blocking system call does not end it: only the next one does.
        """
        with self._lock:
            self.reason = self.reason or reason
            if not self._exposed or self.delivered:
                return
            if self._task is not None:
                self.delivered = True
                self._task.get_loop().call_soon_threadsafe(self._task.cancel)
            elif self._in_main_thread:
                signal.pthread_kill(self._ident, SIGNAL)
            else:
                self.delivered = True
                self._set_asynchronous(ctypes.py_object(Interrupted))

    @contextmanager
    def exposed(self) -> Iterator[None]:
        """Let interruptions into this block."""
        self._exposed = True
        try:
            self.raise_if_asked()
            yield
        finally:
            self._close()

    @contextmanager
    def shielded(self) -> Iterator[None]:
        """Keep interruptions out of this block; one that comes meanwhile is raised at its end."""
        was_exposed, self._exposed = self._exposed, False
        try:
            yield
        finally:
            self._exposed = was_exposed
        if was_exposed:
            self.raise_if_asked()

    def is_of_this_thread(self) -> bool:
        """Tell whether this thread runs the satellite."""
        return threading.current_thread() is self._thread

    def tell(self) -> bool:
        """Tell the satellite, which asks, whether it has to end."""
        if self.reason is None:
            return False
        self.delivered = True
        return True

    def raise_if_asked(self) -> None:
        """Raise the interruption that was asked for, once: the satellite's own cleanup is not interrupted again."""
        if self._exposed and self.reason is not None and not self.delivered:
            self.delivered = True
            raise Interrupted(self.reason)

    def _close(self) -> None:
        """Let in no more interruptions; take back an asynchronous exception that was set and has not come yet."""
        while True:
            try:
                with self._lock:
                    self._exposed = False
                    if not self._in_main_thread:
                        self._set_asynchronous(None)
            except Interrupted:  # it came just now
                continue
            return

    def _set_asynchronous(self, error: ctypes.py_object[type[Interrupted]] | None) -> None:
        ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(self._ident), error)

    @property
    def _ident(self) -> int:
        return self._thread.ident or 0  # never 0: this object was created in that thread

    def run(self, coroutine: Coroutine[Any, Any, Any]) -> Any:
        """Run an `async` satellite so that an interruption cancels its task."""

        async def supervised() -> Any:
            with self._lock:
                self._task = asyncio.current_task()
            try:
                return await coroutine
            except asyncio.CancelledError:
                if self.reason is None:
                    raise
                raise Interrupted(self.reason) from None
            finally:
                with self._lock:
                    self._task = None

        return asyncio.run(supervised())


_current: ContextVar[Interruptible | None] = ContextVar("interruptible", default=None)
_main_thread: list[Interruptible] = []


@contextmanager
def interruptible() -> Iterator[Interruptible]:
    """Make what runs in this block interruptible, where it exposes itself."""
    run = Interruptible()
    token = _current.set(run)
    if run._in_main_thread:  # noqa: SLF001
        _main_thread.append(run)
    try:
        yield run
    finally:
        if run in _main_thread:
            _main_thread.remove(run)
        _current.reset(token)


@contextmanager
def shielded() -> Iterator[None]:
    """Keep interruptions out of a call that a satellite makes into this package.

    They only come into the thread that runs it. Calls in other threads, of `asyncio.to_thread` for example, which
    brings the context along, leave its shield alone: two of them at a time would take it away from each other.
    """
    run = _current.get()
    if run is None or not run.is_of_this_thread():
        yield
    else:
        with run.shielded():
            yield


class InterruptionCheck:
    """Looks for an interruption from inside a shielded call, which may be in another thread by then."""

    def __init__(self) -> None:
        self._run = _current.get()

    def raise_if_asked(self) -> None:
        """Raise an interruption that was asked for and has not been delivered."""
        run = self._run
        if run is not None and run.reason is not None and not run.delivered:
            run.delivered = True
            raise Interrupted(run.reason)


def install() -> None:
    """Handle the signal in this process, whose main thread runs satellites."""
    signal.signal(SIGNAL, _on_signal)


def _on_signal(*_: object) -> None:
    for run in _main_thread:
        run.raise_if_asked()
