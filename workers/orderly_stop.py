"""Orderly stop of a child of the prefork pool: what it runs is handed back instead of being cut off.

Celery ends a child with SIGTERM in a cold shutdown; a service manager sends it to the whole process group, a closing
terminal SIGHUP. billiard's own handler raises SystemExit wherever the child is: in the middle of a satellite, whose
failure that would be, or of a call to the database. While a message is worked on, ours asks the watchdog instead.
"""

from __future__ import annotations

import signal
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from workers.process import Process

SIGNALS = (signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT)


class Stopped(SystemExit):
    """Ends a child that was asked to stop, after it has handed back what it ran."""


@contextmanager
def handing_back(process: Process) -> Iterator[None]:
    """Let a signal to stop interrupt what runs in this block; raise Stopped at its end if one came.

    The handlers are set for each message, because billiard sets its own after Celery's `worker_process_init`. Where
    the worker itself runs satellites (solo, threads), the signals are Celery's: see `SatelliteRequest.cancel`.
    """
    if not process.is_child:
        yield
        return
    before = [signal.signal(number, lambda *_: process.watchdog.stop()) for number in SIGNALS]
    try:
        yield
    finally:
        if process.watchdog.stopping:
            raise Stopped  # the handlers stay: a second signal must not break off the child's own end
        for number, handler in zip(SIGNALS, before, strict=True):
            signal.signal(number, handler)
