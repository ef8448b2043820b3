"""What costs much to make, and is asked for by many at once."""

from __future__ import annotations

import time
from collections import defaultdict
from threading import Lock
from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable

K = TypeVar("K", bound="Hashable")
V = TypeVar("V")


class Fresh(Generic[K, V]):
    """Makes a value once for all who ask for it within so many seconds; who asks meanwhile waits for it."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._made: dict[K, tuple[float, V]] = {}
        self._locks: defaultdict[K, Lock] = defaultdict(Lock)

    def get(self, key: K, make: Callable[[], V]) -> V:
        """Return the value of this key, made now or lately; raises what `make` raises."""
        with self._locks[key]:
            now = time.monotonic()
            made = self._made.get(key)
            if made is None or made[0] + self._seconds < now:
                made = (time.monotonic(), make())
                self._made[key] = made
        self._forget(now)
        return made[1]

    def _forget(self, now: float) -> None:
        for key, (at, _) in list(self._made.items()):
            if at + self._seconds < now:
                self._made.pop(key, None)
                self._locks.pop(key, None)
