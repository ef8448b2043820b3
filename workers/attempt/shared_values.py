"""`context.store` of an attempt: the values of its execution, in PostgreSQL."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from exospherehost import ConfigurationError
from state_manager.store import shared_values
from state_manager.store.shared_values import TooManyKeys
from workers.attempt.database import ask

if TYPE_CHECKING:
    from state_manager.store.transitions import Claimed
    from workers.attempt.redaction import Redactor


class SharedValues:
    """The place of the values that `exospherehost.store.Store` works with. What it writes is the attempt's.

    Raises LateOutcome where that was taken away: another one may have begun, and must not be disturbed.
    """

    def __init__(self, attempt: Claimed, redactor: Redactor) -> None:
        self._attempt = attempt
        self._redactor = redactor

    def read(self, key: str) -> str | None:
        """Return a value, or None where there is none."""
        return ask(lambda engine: shared_values.read(engine, self._attempt.execution_id, key))

    def write(self, key: str, value: str) -> None:
        """Keep a value; ConfigurationError where the execution has too many, or this one holds a secret."""
        if self._redactor.is_in(f"{json.dumps(key, ensure_ascii=False)} {value}".encode()):
            raise ConfigurationError(f"the value of the store's key {key!r} holds a secret: the store is not encrypted")
        try:
            ask(lambda engine: shared_values.put(engine, self._attempt, key, value))
        except TooManyKeys as error:
            raise ConfigurationError(str(error)) from None

    def add(self, key: str, by: float) -> float:
        """Add to a number, and return the sum."""
        try:
            return ask(lambda engine: shared_values.increment(engine, self._attempt, key, by))
        except TooManyKeys as error:
            raise ConfigurationError(str(error)) from None

    def remove(self, key: str) -> None:
        """Remove a value, if there is one."""
        ask(lambda engine: shared_values.delete(engine, self._attempt, key))
