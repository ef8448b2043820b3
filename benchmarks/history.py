"""A long history for benchmarks, made of copies of one execution that really ran, with the ids of old executions."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING, Any

from sqlalchemy import func, insert, literal, select, text, true

from benchmarks.clusters import fan_of
from benchmarks.ours import start
from state_manager.store.tables import events, executions, satellites
from tests.store.invariants import assert_sound

if TYPE_CHECKING:
    from pathlib import Path

    from sqlalchemy import ColumnElement, Connection, Table

    from benchmarks.ours import Ours

TEMPLATE_SIZE = 100
IDS = {"id", "execution_id", "satellite_id"}
LISTS_OF_IDS = {"dependencies", "dependents"}
# An id begins with 48 bits of time, in milliseconds: an older one has an earlier time, and stays unlike its brothers.
MOVED = text("""
    CREATE FUNCTION pg_temp.moved(id uuid, ms bigint) RETURNS uuid LANGUAGE sql IMMUTABLE AS $$
        SELECT (lpad(to_hex(('x0000' || left(replace(id::text, '-', ''), 12))::bit(64)::bigint - ms), 12, '0')
                || right(replace(id::text, '-', ''), 20))::uuid
    $$
""")
MOVED_ALL = text("""
    CREATE FUNCTION pg_temp.moved_all(ids uuid[], ms bigint) RETURNS uuid[] LANGUAGE sql IMMUTABLE AS $$
        SELECT coalesce(array_agg(pg_temp.moved(one.id, ms) ORDER BY one.at), '{}')
        FROM unnest(ids) WITH ORDINALITY AS one(id, at)
    $$
""")
STEP_MS = 1000


def fill(home: Path, finished: int) -> None:
    """Insert this many finished satellites into the tables of a system's home."""
    with start(home=home) as ours:
        copies = finished // TEMPLATE_SIZE
        if copies:
            template = finished_execution(ours)
            with ours.engine.connect() as connection:
                connection.execute(MOVED)
                connection.execute(MOVED_ALL)
                for table, key in ((executions, "id"), (satellites, "execution_id"), (events, "execution_id")):
                    copy(connection, table, table.c[key] == template, copies)
                moved = select(func.pg_temp.moved(literal(template), literal(copies * STEP_MS)))
                oldest = connection.execute(moved).scalar_one()
            assert_sound(ours.engine, oldest)
        with ours.engine.connect() as connection:
            connection.execute(text("VACUUM ANALYZE"))
            connection.execute(text("CHECKPOINT"))


def finished_execution(ours: Ours) -> uuid.UUID:
    """Run the execution that is copied, and return its id."""
    parts = fan_of(TEMPLATE_SIZE - 2)
    execution_id = ours.server.submit(parts)
    ours.server.wait(execution_id, len(parts))
    return uuid.UUID(execution_id)


def copy(connection: Connection, table: Table, is_template: ColumnElement[bool], copies: int) -> None:
    """Insert the template's rows of a table again and again, older each time."""
    series = func.generate_series(1, copies).table_valued("number").render_derived()

    def moved(column: Any) -> Any:
        if column.name in IDS:
            return func.pg_temp.moved(column, series.c.number * STEP_MS)
        return func.pg_temp.moved_all(column, series.c.number * STEP_MS) if column.name in LISTS_OF_IDS else column

    rows = select(*(moved(column) for column in table.c)).select_from(table.join(series, true()))
    connection.execute(insert(table).from_select([column.name for column in table.c], rows.where(is_template)))
