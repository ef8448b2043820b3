"""An executor for calls that may hang: the caller waits until a deadline, and the call goes on in its thread."""

from __future__ import annotations

from concurrent.futures import Future
from queue import SimpleQueue
from threading import BoundedSemaphore, Lock, Thread
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")


class DeadlineExecutor:
    """Runs calls in threads of its own, at most `at_once` at a time.

    A broker that takes a connection and then says nothing holds kombu for a minute and more, whatever its
    timeouts: each try has its own, and there are tries within tries. So the wait ends, not the call. The threads are
    daemons, unlike an executor's: the process does not wait for a call that hangs.
    """

    def __init__(self, at_once: int) -> None:
        self._room = BoundedSemaphore(at_once)
        self._calls: SimpleQueue[tuple[Future[Any], Callable[[], Any]]] = SimpleQueue()
        self._lock = Lock()
        self._resting = 0

    def call(self, within_s: float, function: Callable[[], T]) -> T:
        """Return what the call returns or raise what it raises; TimeoutError where it takes longer."""
        if not self._room.acquire(timeout=within_s):
            raise TimeoutError(f"no room for another call within {within_s} s")
        future: Future[T] = Future()
        with self._lock:
            if self._resting:
                self._resting -= 1
            else:
                Thread(target=self._run, name="bounded call", daemon=True).start()
        self._calls.put((future, function))
        return future.result(timeout=within_s)

    def _run(self) -> None:
        while True:
            future, function = self._calls.get()
            try:
                future.set_result(function())
            except BaseException as error:  # noqa: BLE001  (it is raised where it is waited for)
                future.set_exception(error)
            with self._lock:
                self._resting += 1
            self._room.release()
