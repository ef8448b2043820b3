"""Calls that block without gevent's knowledge, such as those of a library in Rust: one would stop the whole process."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, TypeVar

from gevent.monkey import is_module_patched

if TYPE_CHECKING:
    from collections.abc import Callable

    from gevent.threadpool import ThreadPool

T = TypeVar("T")

THREADS = 8
"""Calls at a time. Not gevent's own threads: a store that hangs must not keep names from being resolved."""


def call_in_native_thread(call: Callable[[], T]) -> T:
    """Make a call in a thread of the operating system, while other greenlets go on; here, where there are none."""
    if not is_module_patched("threading"):
        return call()
    result: T = _pool().apply(call)
    return result


@cache
def _pool() -> ThreadPool:
    """Make the threads when they are first needed: a process forks before that."""
    from gevent.threadpool import ThreadPool  # noqa: PLC0415

    return ThreadPool(THREADS)
