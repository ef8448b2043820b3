"""The signals that ask the whole system to stop."""

from __future__ import annotations

import select
import signal
import socket
from contextlib import suppress

STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


class StopSignal:
    """SIGTERM, SIGINT (Ctrl-C) and SIGHUP (a closed terminal) as a condition to check and to wait for.

    Only in the main thread. The handlers stay installed: a second Ctrl-C must not end us before our parts.
    """

    def __init__(self) -> None:
        self.count = 0
        """The number of stop signals received."""
        self._reader, self._writer = socket.socketpair()
        self._reader.settimeout(0)
        self._writer.settimeout(0)
        # Python's own C handler writes to this socket, so a signal between a check and a wait is not missed.
        signal.set_wakeup_fd(self._writer.fileno(), warn_on_full_buffer=False)
        for number in STOP_SIGNALS:
            # `nohup` ignores SIGHUP, and means it; a SIGINT ignored by `command &` in a script still is a request.
            if number is not signal.SIGHUP or signal.getsignal(number) is not signal.SIG_IGN:
                signal.signal(number, self._note)
        signal.signal(signal.SIGCHLD, lambda *_: None)

    @property
    def received(self) -> bool:
        """True once a stop signal was received."""
        return self.count > 0

    def wait(self, seconds: float) -> bool:
        """Wait until any signal comes (also that a child ended), at most this long; tell whether to stop."""
        if not self.received:
            self.pause(seconds)
        return self.received

    def pause(self, seconds: float) -> None:
        """Wait until any further signal comes, at most this long."""
        if select.select([self._reader], [], [], seconds)[0]:
            with suppress(BlockingIOError):
                self._reader.recv(4096)

    def _note(self, *_: object) -> None:
        self.count += 1
