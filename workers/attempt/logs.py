"""Capture of what a satellite logs and prints: written to the `logs` table while it runs."""

from __future__ import annotations

import logging
import time
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import UTC, datetime
from threading import Lock, Timer
from typing import TYPE_CHECKING, Any

from state_manager.store.logs import LogRecord, write_logs
from state_manager.store.outages import DATABASE_ERRORS, describe, is_outage
from workers.attempt import prints, redaction
from workers.attempt.interrupts import shielded
from workers.process import engine

if TYPE_CHECKING:
    from collections.abc import Iterator
    from uuid import UUID

FLUSH_AFTER_S = 1.0
"""Longest time until a line can be read, however long its satellite runs on."""

FLUSH_AT_LINES = 200
MESSAGE_CHARACTERS = 100_000
LOGGER = "exospherehost.satellite"

_log = logging.getLogger(__name__)
_formatter = logging.Formatter()
_current: ContextVar[LogBuffer | None] = ContextVar("satellite_log", default=None)


class LogBuffer:
    """The log lines of one attempt that are not written yet."""

    def __init__(self, satellite_id: UUID, attempt: int) -> None:
        self._satellite_id = satellite_id
        self._attempt = attempt
        self._records: list[LogRecord] = []
        self._lock = Lock()
        self._timer: Timer | None = None

    def add(self, at: float, level: str, message: str) -> None:
        """Add a line; a full buffer is written at once, any other within `FLUSH_AFTER_S`."""
        moment = datetime.fromtimestamp(at, UTC)
        message = printable(message)[:MESSAGE_CHARACTERS]
        with self._lock:
            self._records.append(LogRecord(self._satellite_id, self._attempt, moment, level.lower(), message))
            full = len(self._records) >= FLUSH_AT_LINES
            if self._timer is None and not full:
                self._timer = Timer(FLUSH_AFTER_S, self.flush)
                self._timer.daemon = True
                self._timer.start()
        if full:
            self.flush()

    def flush(self) -> None:
        """Write what is there. In an outage the lines are kept for the next time; refused ones are dropped."""
        with self._lock:
            if self._timer is not None:
                self._timer.cancel()
                self._timer = None
            if not self._records:
                return
            try:
                write_logs(engine(), self._records)
            except DATABASE_ERRORS as error:
                if is_outage(error):
                    _log.warning("log lines kept back, the database is away: %s", describe(error))
                    return
                _log.error("%d log lines of %s are lost: %s", len(self._records), self._satellite_id, describe(error))
            self._records = []


def redact_record(record: logging.LogRecord) -> None:
    """Remove secrets from a record before any handler sees it; one that cannot be formatted is written as it is."""
    if isinstance(record.msg, dict):  # an event of structlog
        record.msg = {key: redaction.redact(one) if isinstance(one, str) else one for key, one in record.msg.items()}
        return
    try:
        message = record.getMessage()
    except Exception:  # noqa: BLE001  (its arguments do not fit; any handler would print them with that error)
        message = f"{record.msg!r} with {record.args!r}"
    if record.exc_info:
        message = "\n".join([message, _formatter.formatException(record.exc_info)])
    record.msg, record.args, record.exc_info = redaction.redact(message), (), None


class CaptureHandler(logging.Handler):
    """Adds each record that is logged while a satellite runs, by whatever logger, to that satellite's buffer."""

    def emit(self, record: logging.LogRecord) -> None:
        """Add the record, if a satellite runs in this thread."""
        buffer = _current.get()
        if buffer is not None and record.name != __name__:
            with shielded():
                buffer.add(record.created or time.time(), record.levelname, record.getMessage())


@contextmanager
def capture(satellite_id: UUID, attempt: int) -> Iterator[LogBuffer]:
    """Capture what is logged in this block as the attempt's own, and write all of it when the block ends."""
    buffer = LogBuffer(satellite_id, attempt)
    token = _current.set(buffer)
    try:
        yield buffer
    finally:
        prints.end_lines()
        _current.reset(token)
        buffer.flush()


def install(level: int) -> None:
    """Capture in this process from now on: satellites' own lines from DEBUG, those of other loggers from `level`."""
    logging.setLogRecordFactory(_make_record)
    root = logging.getLogger()
    if not any(isinstance(handler, CaptureHandler) for handler in root.handlers):
        root.addHandler(CaptureHandler())
    root.setLevel(level)
    logging.getLogger(LOGGER).setLevel(logging.DEBUG)


def _make_record(*args: Any, **fields: Any) -> logging.LogRecord:
    record = logging.LogRecord(*args, **fields)
    if redaction.is_active():
        redact_record(record)
    return record


def printable(text: str) -> str:
    """Escape what PostgreSQL cannot keep in a text: NUL and lone surrogates."""
    return text.encode("utf-8", "backslashreplace").decode().replace("\0", "\\x00")
