"""The schema's revision: checks whether a database has the newest migration, without loading Alembic."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

if TYPE_CHECKING:
    from sqlalchemy import Engine

VERSIONS = Path(__file__).parent / "migrations" / "versions"


def is_current(engine: Engine) -> bool:
    """Say whether the database has the newest migration; one that was never migrated has not."""
    with engine.connect() as connection:
        if connection.execute(text("SELECT to_regclass('alembic_version')")).scalar_one() is None:
            return False
        found = connection.execute(text("SELECT version_num FROM alembic_version")).scalars()
        return set(found) == {newest()}


@cache
def newest() -> str:
    """Return the newest migration's revision, the number with which its file's name begins."""
    return max(path.name.partition("_")[0] for path in VERSIONS.glob("[0-9]*.py"))


UNDEFINED = frozenset({"42P01", "42703", "42704", "42883", "3F000"})
"""SQLSTATEs of a table, column, type, function or schema that is not there."""


def lacks_migration(engine: Engine, error: BaseException) -> bool:
    """Tell whether a statement failed because the database is not migrated. Raises what the database raises."""
    driver_error = error.orig if isinstance(error, DBAPIError) else error
    return getattr(driver_error, "sqlstate", None) in UNDEFINED and not is_current(engine)
