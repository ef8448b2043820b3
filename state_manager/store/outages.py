"""Outages of PostgreSQL: tell them from errors of a statement or its data, and retry until they end."""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING, TypeVar

import psycopg
import tenacity
from sqlalchemy.exc import DBAPIError, SQLAlchemyError
from sqlalchemy.exc import TimeoutError as PoolTimeout

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")

WORKER_WAIT_S = 600
"""Longest time that a worker waits with what it has; by then its leases are over and others have taken the work."""

DATABASE_ERRORS = (SQLAlchemyError, psycopg.Error)
"""Base classes of what the two ways to the database raise: SQLAlchemy, and the driver by itself."""

OUTAGE_STATES = ("08", "40", "57P", "53300")
"""Beginnings of the SQLSTATEs of an outage: connection exception, serialization failure or deadlock, shutdown or
start of the server, too many connections. With any other the server is up, and has refused this statement."""

_log = logging.getLogger(__name__)


def is_outage(error: BaseException) -> bool:
    """Tell whether the database is away or busy, so that the same call may succeed later as it stands.

    Any other error comes from the statement or its data: the same call would fail again, however often it is sent.
    """
    if isinstance(error, PoolTimeout):
        return True
    driver_error = error.orig if isinstance(error, DBAPIError) else error
    if not isinstance(driver_error, psycopg.Error):
        return False
    if driver_error.sqlstate is not None:
        return driver_error.sqlstate.startswith(OUTAGE_STATES)
    # Without a state no answer came: refused, timed out, or closed in the middle.
    return isinstance(driver_error, psycopg.OperationalError | psycopg.InterfaceError)


def describe(error: BaseException) -> str:
    """Return one line for a log: the server's message and its SQLSTATE, without the data of the statement."""
    driver_error = getattr(error, "orig", None) or error
    if not isinstance(driver_error, psycopg.Error) or driver_error.sqlstate is None:
        return (str(driver_error) or type(driver_error).__name__).partition("\n")[0]
    return f"{driver_error.diag.message_primary} (SQLSTATE {driver_error.sqlstate})"


def retry_until_available(call: Callable[[], T], *, within_s: float = WORKER_WAIT_S) -> T:
    """Call again while there is an outage, at most for `within_s`; raise any other error at once.

    The call must be safe to repeat: its last answer may have been lost.
    """
    try:
        return call()
    except DATABASE_ERRORS as error:
        if not is_outage(error):
            raise
        _log.warning("waiting for the database: %s", describe(error))
    began = time.monotonic()
    # Made only now: making it takes as long as a short call.
    result = tenacity.Retrying(
        retry=tenacity.retry_if_exception(is_outage),
        wait=tenacity.wait_random_exponential(0.05, max=min(2, within_s / 3)),
        stop=tenacity.stop_after_delay(within_s),
        reraise=True,
    )(call)
    _log.warning("the database answers again, after %.1f s", time.monotonic() - began)
    return result
