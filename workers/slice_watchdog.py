"""The slice watchdog: releases claimed satellites that wait behind one that exceeds the time slice."""

from __future__ import annotations

import logging
import time
from contextlib import contextmanager
from threading import Condition, Thread
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterator

LOOK_EVERY_S = 0.05
REST_AFTER_S = 1.0
"""Time without a slice after which the thread stops looking, and has to be woken for the next one."""

_log = logging.getLogger(__name__)


class WatchedSlice(Protocol):
    """A slice as its watchdog sees it."""

    deadline: float

    def release_unstarted(self) -> None:
        """Settle what is done, and release what has not started."""


class SliceWatchdog:
    """Watches the slices of a process in one thread, which the first of them starts."""

    def __init__(self) -> None:
        self._slices: set[WatchedSlice] = set()
        self._condition = Condition()
        self._thread: Thread | None = None
        self._resting = True

    @contextmanager
    def watching(self, slice_: WatchedSlice) -> Iterator[None]:
        """Watch a slice while this block runs."""
        with self._condition:
            self._slices.add(slice_)
            if self._resting:
                self._wake()
        try:
            yield
        finally:
            with self._condition:
                self._slices.discard(slice_)

    def _wake(self) -> None:
        self._resting = False
        self._condition.notify()
        if self._thread is None:
            self._thread = Thread(target=self._run, name="slice watchdog", daemon=True)
            self._thread.start()

    def _run(self) -> None:
        busy_at = time.monotonic()
        while True:
            time.sleep(LOOK_EVERY_S)
            now = time.monotonic()
            with self._condition:
                if self._slices:
                    busy_at = now
                elif now > busy_at + REST_AFTER_S:
                    self._resting = True
                    self._condition.wait_for(lambda: not self._resting)
                    busy_at = time.monotonic()
                late = [one for one in self._slices if one.deadline <= now]
            for one in late:
                try:
                    one.release_unstarted()
                except Exception:  # noqa: BLE001  (the other slices are watched all the same)
                    _log.exception("what waits in a slice was not released: its leases will run out")
