"""Waiting for PostgreSQL to come back."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

import psycopg
import tenacity
from sqlalchemy.exc import InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")

PATIENCE_S = 600
"""So long a worker waits with what it has; after that others will have taken it over."""

DATABASE_AWAY = (OperationalError, InterfaceError, PoolTimeout, psycopg.OperationalError, psycopg.InterfaceError)
"""What SQLAlchemy and the driver raise when the database does not answer, or went away in the middle of an answer."""


def retry_until_available(call: Callable[[], T], *, within_s: float = PATIENCE_S) -> T:
    """Call until the database answers. The call must be safe to repeat: its last answer may have been lost."""
    try:
        return call()
    except DATABASE_AWAY:
        pass  # only now: making ready to try again takes as long as a short call
    return tenacity.Retrying(
        retry=tenacity.retry_if_exception_type(DATABASE_AWAY),
        wait=tenacity.wait_random_exponential(0.05, max=min(2, within_s / 3)),
        stop=tenacity.stop_after_delay(within_s),
        reraise=True,
    )(call)
