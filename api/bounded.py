"""Calls that may hang, waited for no longer than a client would."""

from __future__ import annotations

from concurrent.futures import Future
from threading import BoundedSemaphore, Thread
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")


class Bounded:
    """Runs calls in threads of their own, at most so many at once.

    A broker that takes a connection and then says nothing holds kombu for a minute and more, whatever its
    timeouts: each try has its own, and there are tries within tries. So the wait ends, not the call.
    """

    def __init__(self, at_once: int) -> None:
        self._room = BoundedSemaphore(at_once)

    def call(self, within_s: float, function: Callable[[], T]) -> T:
        """Return what the call returns or raise what it raises; TimeoutError where it takes longer."""
        if not self._room.acquire(timeout=within_s):
            raise TimeoutError(f"no room for another call within {within_s} s")
        future: Future[T] = Future()

        def run() -> None:
            try:
                future.set_result(function())
            except BaseException as error:  # noqa: BLE001  (it is raised where it is waited for)
                future.set_exception(error)
            finally:
                self._room.release()

        Thread(target=run, name="bounded call", daemon=True).start()
        return future.result(timeout=within_s)
