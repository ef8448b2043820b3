"""The error that a status of HTTP stands for, and the wait that a server asks for."""

from __future__ import annotations

from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING

from exospherehost import ConfigurationError, LogicError, RequeueAfter, TransientError

if TYPE_CHECKING:
    from collections.abc import Mapping

MAX_WAIT_S = 600.0
"""Longest `Retry-After` that is waited for."""

MULTIPLE_CHOICES, BAD_REQUEST, SERVER_ERROR = 300, 400, 500
REQUEST_TIMEOUT, CONFLICT, LOCKED, TOO_EARLY, TOO_MANY_REQUESTS, UNAVAILABLE = 408, 409, 423, 425, 429, 503


def failure(status: int, headers: Mapping[str, str], where: str) -> Exception:
    """Return the exception for a status that is not expected.

    RequeueAfter for 429 and 503 with a `Retry-After` of at most `MAX_WAIT_S`; TransientError for these without, for
    408, 425 and 5xx; LogicError for 409 and 423, which may pass, and for an unexpected 1xx or 2xx; ConfigurationError
    for redirects and for any other 4xx. The messages leave out headers and body, which may hold secrets.
    """
    shown = f"{where}: the server answered {status}"
    if status in {TOO_MANY_REQUESTS, UNAVAILABLE}:
        wait_s = retry_after_s(headers.get("retry-after", ""), datetime.now(UTC))
        if wait_s is not None and wait_s <= MAX_WAIT_S:
            return RequeueAfter(wait_s)
        return TransientError(shown if wait_s is None else f"{shown}, and asks to wait for {wait_s:.0f} s")
    if status in {REQUEST_TIMEOUT, TOO_EARLY} or status >= SERVER_ERROR:
        return TransientError(shown)
    if status in {CONFLICT, LOCKED} or status < MULTIPLE_CHOICES:
        return LogicError(shown)
    if status < BAD_REQUEST:
        return ConfigurationError(f"{shown}, a redirect that is not followed")
    return ConfigurationError(shown)


def retry_after_s(text: str, now: datetime) -> float | None:
    """Parse a `Retry-After`, seconds or a date; return the seconds to wait, at least one, or None where it is neither.

    At least one, so that a server that says 0 is not asked in a loop.
    """
    if text.strip().isascii() and text.strip().isdecimal():
        return max(1.0, min(float(text), 1e9))
    try:
        at = parsedate_to_datetime(text)
    except ValueError:
        return None
    return max(1.0, (at.replace(tzinfo=at.tzinfo or UTC) - now).total_seconds())
