"""Calls of the database on behalf of a satellite, from inside its own code."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from exospherehost import TransientError
from state_manager.store.outages import DATABASE_ERRORS, describe, is_outage, retry_until_available
from workers.attempt.interrupts import shielded
from workers.process import engine

if TYPE_CHECKING:
    from collections.abc import Callable

    from sqlalchemy import Engine

T = TypeVar("T")


def ask(call: Callable[[Engine], T]) -> T:
    """Call the database, again while there is an outage. The call must be safe to repeat.

    No interruption comes into the call itself; one that comes meanwhile ends the wait for the database.
    Raises TransientError when the outage lasts, so that another attempt is made.
    """

    def once() -> T:
        with shielded():
            return call(engine())

    try:
        return retry_until_available(once)
    except DATABASE_ERRORS as error:
        if not is_outage(error):
            raise
        raise TransientError(f"the State Manager's database does not answer: {describe(error)}") from error
