"""Log lines from what is printed in a worker: one for each line, however many writes it came in."""

from __future__ import annotations

import io
import logging
import sys
from threading import local

from workers.attempt import redaction

LINE_CHARACTERS = 100_000
"""Longest line that is waited for: a progress bar may never end one."""

_log = logging.getLogger("print")


class PrintedLines(io.TextIOBase):
    """A text stream that logs each line once it is complete, or a part of it that is long enough.

    Each thread has a line of its own, as satellites of a threads pool print side by side.
    """

    def __init__(self, level: int) -> None:
        self._level = level
        self._thread = local()

    def writable(self) -> bool:
        """Tell that this stream is for writing."""
        return True

    def write(self, text: str) -> int:
        """Take some text, and log the lines that it completes."""
        if self._is_logging:  # a handler that fails prints its error
            return sys.__stderr__.write(redaction.redact(text)) if sys.__stderr__ else 0
        # Before it is split: a secret may have several lines.
        *lines, rest = redaction.redact(self._rest + text).split("\n")
        if len(rest) >= LINE_CHARACTERS:
            # What a secret may begin with waits for its end.
            cut = max(len(rest) - max(redaction.longest() - 1, 0), 0)
            lines, rest = [*lines, rest[:cut]], rest[cut:]
        self._thread.rest = rest
        for line in lines:
            self._emit(line)
        return len(text)

    def end_line(self) -> None:
        """Log what this thread has printed without a newline at its end."""
        rest, self._thread.rest = self._rest, ""
        self._emit(rest)

    @property
    def _rest(self) -> str:
        return getattr(self._thread, "rest", "")

    @property
    def _is_logging(self) -> bool:
        return getattr(self._thread, "is_logging", False)

    def _emit(self, line: str) -> None:
        if not line.strip():
            return
        self._thread.is_logging = True
        try:
            _log.log(self._level, "%s", line)
        finally:
            self._thread.is_logging = False


_stdout, _stderr = PrintedLines(logging.INFO), PrintedLines(logging.INFO)


def install() -> None:
    """Log what is printed in this process from now on."""
    sys.stdout, sys.stderr = _stdout, _stderr


def end_lines() -> None:
    """Log what this thread has printed without a newline at its end."""
    _stdout.end_line()
    _stderr.end_line()
