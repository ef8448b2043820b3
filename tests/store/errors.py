"""Triggers by which PostgreSQL refuses updates of one execution's rows, with an SQLSTATE of the test's choice."""

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
"""SQLSTATEs of errors that are not an outage: one of each class that a call may raise."""

SATELLITES = "satellites.execution_id"
EXECUTIONS = "executions.id"


def refuse_updates(engine: Engine, column: str, execution_id: UUID, sqlstate: str, *, when: str = "true") -> None:
    """Make every update of this execution's rows for which the condition holds fail with this SQLSTATE."""
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
    """Drop the trigger of `refuse_updates`."""
    with engine.connect() as connection:
        connection.execute(text(f"DROP TRIGGER refuse ON {column.partition('.')[0]}"))
