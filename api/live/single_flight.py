"""A cache of expensive values: concurrent callers share one computation."""

from __future__ import annotations

import time
from collections import OrderedDict
from threading import Lock
from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable

K = TypeVar("K", bound="Hashable")
V = TypeVar("V")

KEPT = 16
"""Most values cached at a time: each may take megabytes, and may never be asked for again."""


class SingleFlightCache(Generic[K, V]):
    """Computes a value once for all callers within its lifetime; callers during the computation wait for it."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._made: OrderedDict[K, tuple[float, V]] = OrderedDict()
        self._making: dict[K, Lock] = {}

    def get(self, key: K, make: Callable[[], V]) -> V:
        """Return the value of this key, computed within the lifetime before this call; raises what `make` raises."""
        asked = time.monotonic()  # before the wait: else those who waited long would each make their own
        try:
            with self._making.setdefault(key, Lock()):
                made = self._made.get(key)
                if made is None or made[0] + self._seconds < asked:
                    made = (time.monotonic(), make())
                    self._keep(key, made)
        finally:
            self._making.pop(key, None)  # who waits for the lock has it; others may begin anew
        return made[1]

    def _keep(self, key: K, made: tuple[float, V]) -> None:
        self._made[key] = made
        self._made.move_to_end(key)
        while len(self._made) > KEPT or next(iter(self._made.values()))[0] + self._seconds < made[0]:
            self._made.popitem(last=False)
