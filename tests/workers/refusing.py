"""A trigger by which PostgreSQL refuses transitions of satellites called `victim`, with a given SQLSTATE."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from sqlalchemy import text

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sqlalchemy import Engine

CLAIM = "NEW.status = 'running'"
COMPLETED = "NEW.status = 'completed'"
ANY_OUTCOME = "OLD.status = 'running' AND NEW.status <> 'running'"


@contextmanager
def refusing(engine: Engine, sqlstate: str, moved: str, *, times: int = 1_000_000) -> Iterator[None]:
    """Let the database refuse a move of any satellite called `victim`, at first or always."""
    with engine.connect() as connection:
        for one in (
            f"CREATE SEQUENCE refused MAXVALUE {times} MINVALUE 0",
            f"""CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
                IF (SELECT last_value FROM refused) < {times} THEN
                    PERFORM nextval('refused');
                    RAISE EXCEPTION 'as injected' USING ERRCODE = '{sqlstate}';
                END IF;
                RETURN NEW;
            END $$""",
            f"""CREATE TRIGGER refuse BEFORE UPDATE ON satellites FOR EACH ROW
                WHEN (NEW.name = 'victim' AND {moved}) EXECUTE FUNCTION refuse()""",
        ):
            connection.execute(text(one))
        try:
            yield
        finally:
            connection.execute(text("DROP TRIGGER refuse ON satellites"))
            connection.execute(text("DROP FUNCTION refuse"))
            connection.execute(text("DROP SEQUENCE refused"))
