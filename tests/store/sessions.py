"""Workers' sessions with PostgreSQL, as their lease threads open them: a test closes them or breaks them off."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING
from uuid import uuid4

import psycopg
from sqlalchemy import text

from state_manager.store import leases
from tests.waiting import until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from uuid import UUID

    from sqlalchemy import Engine

_BREAK_OFF = text("SELECT pg_terminate_backend(:pid, 30000)")


@contextmanager
def session(uri: str) -> Iterator[psycopg.Connection]:
    with psycopg.connect(uri, autocommit=True) as connection:
        yield connection


def register(
    connection: psycopg.Connection,
    worker: UUID,
    *,
    parent: UUID | None = None,
    pid: int = 1,
    behind_a_pooler: bool = False,
) -> None:
    """Register a worker by this session. Behind a pooler its driver does not know the backend that it talks to."""
    backend_pid = 0 if behind_a_pooler else connection.info.backend_pid
    connection.execute(
        "SELECT register_worker(%s, %s, %s, %s, %s, %s)", (worker, parent, pid, "a worker", ["satellites"], backend_pid)
    )


def break_off(engine: Engine, connection: psycopg.Connection) -> None:
    """End a session from the server's side, and wait until it is gone."""
    with engine.connect() as others:
        assert others.execute(_BREAK_OFF, {"pid": connection.info.backend_pid}).scalar_one()


def lost_worker(engine: Engine, uri: str) -> UUID:
    """Register a worker whose session is gone."""
    worker = uuid4()
    with session(uri) as connection:
        register(connection, worker)
    until(lambda: worker in {one.worker for one in leases.silent_sessions(engine)}, what="its session is gone")
    return worker
