"""Errors of PostgreSQL, raised by the database itself for the rows of one execution."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import text

if TYPE_CHECKING:
    from uuid import UUID

    from sqlalchemy import Engine

REFUSED = [
    "22003",  # numeric_value_out_of_range
    "23514",  # check_violation
    "42883",  # undefined_function
    "54000",  # program_limit_exceeded
    "55000",  # object_not_in_prerequisite_state
    "57014",  # query_canceled: a statement_timeout
    "XX000",  # internal_error
]
"""States of errors that are no outage: one of each class that a call may meet."""

SATELLITES = "satellites.execution_id"
EXECUTIONS = "executions.id"


def refuse_updates(engine: Engine, column: str, execution_id: UUID, sqlstate: str, *, when: str = "true") -> None:
    """Let every update of this execution's rows, where the condition holds, fail with an error of this state."""
    table, _, key = column.partition(".")
    with engine.connect() as connection:
        connection.execute(
            text(f"""
                CREATE FUNCTION refuse_{table}() RETURNS trigger LANGUAGE plpgsql AS $$
                BEGIN
                    IF NEW.{key} = '{execution_id}' THEN
                        RAISE EXCEPTION 'refused by a test' USING ERRCODE = '{sqlstate}';
                    END IF;
                    RETURN NEW;
                END $$;
                CREATE TRIGGER refuse BEFORE UPDATE ON {table} FOR EACH ROW
                WHEN ({when}) EXECUTE FUNCTION refuse_{table}()
            """)
        )


def allow_updates(engine: Engine, column: str) -> None:
    """Let them pass again."""
    with engine.connect() as connection:
        connection.execute(text(f"DROP TRIGGER refuse ON {column.partition('.')[0]}"))
