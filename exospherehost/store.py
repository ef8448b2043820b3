"""Values that the satellites of an execution share: `context.store`."""

from __future__ import annotations

import json
import math
from threading import Lock
from typing import Any, Protocol

from exospherehost.errors import ConfigurationError

VALUE_BYTES = 64 * 1024
"""Largest value, as UTF-8 JSON without spaces."""

KEY_CHARACTERS = 256

LARGEST_STEP = 2**63
"""Largest number by which a counter is incremented at once."""


class Values(Protocol):
    """A place for values, which are JSON texts."""

    def read(self, key: str) -> str | None:
        """Return a value, or None where there is none."""

    def write(self, key: str, value: str) -> None:
        """Keep a value in place of the one before."""

    def add(self, key: str, by: float) -> float:
        """Add to a number, which is 0 where there is none, and return the sum; TypeError where it is no number."""

    def remove(self, key: str) -> None:
        """Remove a value, if there is one."""


class Store:
    """Values by key, which all satellites of an execution share for as long as the execution is kept.

    A value is JSON of at most 64 KiB, a key 1 to 256 printable characters. A method raises ConfigurationError, which
    names the key, for anything else. A worker keeps the values in PostgreSQL, where each call is one transaction.
    Outside of a worker they are in memory, so that a satellite can be called by itself.
    """

    def __init__(self, values: Values | None = None) -> None:
        self._values = values or ValuesInMemory()

    def get(self, key: str, default: Any = None) -> Any:
        """Return a value, or the default where the key has none."""
        found = self._values.read(_checked(key))
        return default if found is None else json.loads(found)

    def put(self, key: str, value: Any) -> None:
        """Keep a value in place of the one before; of two calls at the same time the later one counts."""
        self._values.write(_checked(key), _encoded(key, value))

    def increment(self, key: str, by: float = 1) -> float:
        """Add to a number, which is 0 where the key has no value, and return the sum. None of several calls is lost.

        It is repeated with its attempt: a counter may count a satellite more than once.
        """
        if isinstance(by, bool) or not isinstance(by, int | float) or not math.isfinite(by) or abs(by) > LARGEST_STEP:
            raise ConfigurationError(f"the store's key {key!r} is not incremented by {by!r}: that is no number")
        try:
            return self._values.add(_checked(key), by)
        except TypeError as error:
            raise ConfigurationError(f"the store's key {key!r} is not incremented: its value is no number") from error

    def delete(self, key: str) -> None:
        """Remove a value, if the key has one."""
        self._values.remove(_checked(key))


class ValuesInMemory:
    """Values of this process alone."""

    def __init__(self) -> None:
        self._values: dict[str, str] = {}
        self._lock = Lock()

    def read(self, key: str) -> str | None:
        """Return a value, or None where there is none."""
        return self._values.get(key)

    def write(self, key: str, value: str) -> None:
        """Keep a value."""
        self._values[key] = value

    def add(self, key: str, by: float) -> float:
        """Add to a number."""
        with self._lock:
            before = json.loads(self._values.get(key, "0"))
            if isinstance(before, bool):
                raise TypeError
            total: float = before + by
            self._values[key] = json.dumps(total)
            return total

    def remove(self, key: str) -> None:
        """Remove a value."""
        self._values.pop(key, None)


def _checked(key: str) -> str:
    if not isinstance(key, str) or not 1 <= len(key) <= KEY_CHARACTERS or not key.isprintable():
        shown = repr(key) if len(repr(key)) <= KEY_CHARACTERS else f"{repr(key)[:40]}…"
        raise ConfigurationError(f"a key of the store is a text of 1 to {KEY_CHARACTERS} printable characters: {shown}")
    return key


def _encoded(key: str, value: Any) -> str:
    """Write a value as JSON; ConfigurationError where it is none, or too large."""
    try:
        text = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
        size = len(text.encode())
    except (TypeError, ValueError, RecursionError) as error:
        raise ConfigurationError(f"the value of the store's key {key!r} is no JSON value: {error}") from error
    if size > VALUE_BYTES:
        raise ConfigurationError(
            f"the value of the store's key {key!r} has {size} bytes; at most {VALUE_BYTES} are allowed: "
            "put_artifact keeps larger data"
        )
    return text
