"""Connections to PostgreSQL."""

from __future__ import annotations

import select
from typing import TYPE_CHECKING, Any, LiteralString, cast

import psycopg
from sqlalchemy import Engine, create_engine, event, text
from sqlalchemy.exc import InvalidatePoolError

if TYPE_CHECKING:
    from collections.abc import Mapping

SOCKET_TIMEOUT_S = 5

KEEPALIVE: dict[str, Any] = {
    "keepalives_idle": SOCKET_TIMEOUT_S,
    "keepalives_interval": SOCKET_TIMEOUT_S,
    "keepalives_count": 3,
    # Keepalives watch an idle connection only: what was sent must be acknowledged in time too.
    "tcp_user_timeout": 4 * SOCKET_TIMEOUT_S * 1000,
}
"""Options of libpq with which it notices within 20 s a peer that disappeared without closing the connection."""


def connect(database_uri: str, *, pool_size: int = 10) -> Engine:
    """Open a pool of autocommitting connections: each transition is one statement, one round trip, one commit.

    Connections are made when first used, so an engine may be built while the database is away.
    """
    engine = create_engine(
        _with_driver(database_uri),
        isolation_level="AUTOCOMMIT",
        hide_parameters=True,  # an error's text goes to the log, and the parameters are clients' documents
        pool_size=pool_size,
        max_overflow=0,
        connect_args={"connect_timeout": SOCKET_TIMEOUT_S, "application_name": "exosphere", **KEEPALIVE},
    )
    event.listen(engine, "connect", _adapt_to_a_pooler)
    event.listen(engine, "checkout", _refuse_a_dead_connection)
    return engine


def call(engine: Engine, query: LiteralString, parameters: Mapping[str, Any]) -> tuple[Any, ...]:
    """Run a one-row query on the driver directly, a third faster than SQLAlchemy; raises the driver's errors."""
    pooled = engine.raw_connection()
    connection = cast("psycopg.Connection[tuple[Any, ...]]", pooled.driver_connection)
    try:
        row = connection.execute(query, parameters).fetchone()
    except psycopg.Error as error:
        if connection.closed:
            pooled.invalidate(error)
        raise
    finally:
        pooled.close()
    if row is None:
        raise LookupError(f"no row from {query}")
    return row


def is_pooled(connection: psycopg.Connection[Any]) -> bool:
    """Tell whether the connection goes through a pooler such as PgBouncer: its backend is not the driver's.

    Then each transaction may meet another backend, so nothing can be kept in a session: no prepared statement, no
    LISTEN. The connection must be idle or autocommitting.
    """
    (pid,) = connection.execute("SELECT pg_backend_pid()").fetchone() or (None,)
    connection.rollback()
    return bool(pid != connection.info.backend_pid)


def ping(engine: Engine) -> None:
    """Raise unless the database answers."""
    with engine.connect() as connection:
        connection.execute(text("SELECT 1"))


def _adapt_to_a_pooler(connection: psycopg.Connection[Any], *_: object) -> None:
    """Prepare no statements behind a pooler. Elsewhere they save 0.03 ms of each call to the SQL functions."""
    if is_pooled(connection):
        connection.prepare_threshold = None


def _refuse_a_dead_connection(connection: psycopg.Connection, *_: object) -> None:
    """Have the pool reconnect when the server has sent something on an idle connection: it was closed.

    Unlike a ping this costs no round trip, and the first call after a restart succeeds.
    """
    poll = select.poll()
    poll.register(connection.fileno(), select.POLLIN)
    if poll.poll(0):
        raise InvalidatePoolError


def _with_driver(uri: str) -> str:
    scheme, _, rest = uri.partition("://")
    return f"postgresql+psycopg://{rest}" if scheme in {"postgres", "postgresql"} else uri
