"""Migrate a database to the current tables and functions: `python -m state_manager.store.migrate`."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

from alembic import command
from alembic.config import Config
from sqlalchemy import text

from state_manager.config import settings
from state_manager.errors import StateManagerError
from state_manager.store.engine import connect
from state_manager.store.outages import DATABASE_ERRORS, describe, is_outage, retry_until_available

if TYPE_CHECKING:
    import psycopg
    from sqlalchemy import Connection

HERE = Path(__file__).parent
FUNCTIONS = (
    "transitions", "admission", "submit", "claim", "settle", "dependents", "expansion", "stop", "retry", "leases",
    "queueing", "probes", "stuck", "shared_values", "artifacts", "signals",
)  # fmt: skip
"""The files of `sql/`. Functions have no history: at every migration the newest texts replace the ones before."""

MIN_VERSION = 15
"""The oldest PostgreSQL that is tested; those before it get no more fixes from its makers."""

WAIT_S = 10
"""Longest time to wait for the database when a migration is asked for on the command line."""

_DEFINED = re.compile(r"^CREATE OR REPLACE FUNCTION (\w+)", re.MULTILINE)
_PRESENT = """
    SELECT oid::regprocedure::text FROM pg_proc
    WHERE pronamespace = current_schema()::regnamespace AND proname = ANY (%s) AND prorettype <> 'trigger'::regtype
"""

_LOCK = 0x65786F73
"""The advisory lock that lets one of several starting processes migrate while the others wait."""


class UnsupportedDatabase(StateManagerError):
    """The PostgreSQL server is too old."""


def migrate(database_uri: str) -> None:
    """Run what is missing of `migrations/versions`, then replace the functions. Safe to run twice at once.

    Raises `UnsupportedDatabase`, and leaves the database as it is.
    """
    engine = connect(database_uri, pool_size=1)
    try:
        with engine.connect().execution_options(isolation_level="READ COMMITTED") as connection, connection.begin():
            # By the driver itself: SQLAlchemy would take the percent signs in the functions for parameters.
            driver: psycopg.Connection = connection.connection.driver_connection  # type: ignore[assignment]
            _require_version(driver.info.server_version)
            connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _LOCK})
            command.upgrade(alembic_config(connection), "head")
            _replace_functions(driver)
    finally:
        engine.dispose()


def _require_version(server_version: int) -> None:
    """Raise `UnsupportedDatabase` unless the server is new enough; its version is as `server_version_num` has it."""
    major, minor = divmod(server_version, 10_000)
    if major < MIN_VERSION:
        raise UnsupportedDatabase(f"PostgreSQL {major}.{minor} is too old: {MIN_VERSION} or newer is needed")


def _replace_functions(driver: psycopg.Connection) -> None:
    """Drop them, however many parameters they had, and create them: one of the same name would stay beside ours."""
    texts = [(HERE / "sql" / f"{name}.sql").read_text(encoding="utf-8") for name in FUNCTIONS]
    names = [name for one in texts for name in _DEFINED.findall(one)]
    for (signature,) in driver.execute(_PRESENT, (names,)).fetchall():
        driver.execute(f"DROP FUNCTION {signature}")  # PostgreSQL's own spelling
    for one in texts:
        driver.execute(one)


def alembic_config(connection: Connection) -> Config:
    """Return what Alembic's commands need to work on this connection, inside its transaction."""
    config = Config()
    config.set_main_option("script_location", str(HERE / "migrations"))
    config.attributes["connection"] = connection
    return config


def main() -> None:
    """Migrate the database of the settings, once it accepts connections."""
    uri = settings().database_uri
    if uri is None:
        raise SystemExit("DATABASE_URI is not set: there is no database to migrate")
    try:
        retry_until_available(lambda: migrate(uri), within_s=WAIT_S)
    except UnsupportedDatabase as error:
        raise SystemExit(str(error)) from None
    except DATABASE_ERRORS as error:
        if not is_outage(error):
            raise
        raise SystemExit(f"the database does not answer: {describe(error)}") from None


if __name__ == "__main__":
    main()
