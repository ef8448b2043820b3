"""A forced race of two calls: the first keeps its transaction open until the second waits for its lock."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, cast

from sqlalchemy import text

from tests.waiting import until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from concurrent.futures import Future

    from sqlalchemy import Connection, Engine

_WAITING = text("""
    SELECT count(*) FROM pg_stat_activity
    WHERE datname = current_database() AND cardinality(pg_blocking_pids(pid)) > 0
""")


class Rival:
    """Calls in threads of their own, which wait for what an open transaction holds."""

    def __init__(self, engine: Engine, threads: ThreadPoolExecutor) -> None:
        self._engine = engine
        self._threads = threads
        self._waiting = 0

    def waits(self, call: Callable[..., Any], *arguments: Any, **options: Any) -> Future[Any]:
        """Start a call, and return once PostgreSQL says that it waits for a lock."""
        future = self._threads.submit(call, self._engine, *arguments, **options)
        self._waiting += 1
        until(lambda: future.done() or self._count() == self._waiting, what="the rival waits for a lock")
        assert not future.done(), "the rival did not wait"
        return future

    def passes(self, call: Callable[..., Any], *arguments: Any, **options: Any) -> Any:
        """Do a call that must not wait for what the open transaction holds."""
        return self._threads.submit(call, self._engine, *arguments, **options).result(timeout=20)

    def _count(self) -> int:
        with self._engine.connect() as connection:
            return int(connection.execute(_WAITING).scalar_one())


@contextmanager
def rival_to(engine: Engine) -> Iterator[tuple[Engine, Rival]]:
    """Yield an engine whose calls stay in one transaction until the block ends, and a rival to make wait for it."""
    with (
        ThreadPoolExecutor() as threads,
        engine.connect().execution_options(isolation_level="READ COMMITTED") as connection,
        connection.begin(),
    ):
        yield cast("Engine", OneTransaction(connection)), Rival(engine, threads)


class _Borrowed:
    """A connection as a pool lends it, which stays open when it is given back."""

    def __init__(self, driver_connection: object) -> None:
        self.driver_connection = driver_connection

    def close(self) -> None:
        pass


class OneTransaction:
    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    @contextmanager
    def connect(self) -> Iterator[Connection]:
        yield self._connection

    def raw_connection(self) -> _Borrowed:
        return _Borrowed(self._connection.connection.driver_connection)
