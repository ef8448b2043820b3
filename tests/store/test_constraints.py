"""The rules that the database enforces by itself: the moves, the constraints, and the tables as they are declared."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from itertools import product
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import Enum, Table, insert, select, text, update
from sqlalchemy.exc import IntegrityError
from uuid_utils.compat import uuid4

from state_manager import states
from state_manager.states import EXECUTION_MOVES, SATELLITE_MOVES, TERMINAL, ExecutionStatus, SatelliteStatus
from state_manager.store.engine import connect
from state_manager.store.migrate import alembic_config, migrate
from state_manager.store.tables import admission, executions, metadata, satellites
from tests.factories import chain, submit
from tests.store.attempts import complete
from tests.store.invariants import assert_sound

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from sqlalchemy import Connection, Engine

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)


def execution_row(status: str = "pending", **other: Any) -> dict[str, Any]:
    """Return a row that is sound in that state."""
    return {
        "id": uuid4(),
        "project": "p",
        "cluster_id": "p/c",
        "status": status,
        "sla": "24h",
        "deadline": NOON,
        "failure_policy": "continue",
        "timeout_s": 60,
        "definition": {},
        "definition_hash": "",
        "total": 2,
        "created_at": NOON,
        "updated_at": NOON,
        "finished_at": NOON if status in states.FINISHED else None,
        **other,
    }


def satellite_row(execution_id: object, status: str = "pending", **other: Any) -> dict[str, Any]:
    """Return a row that is sound in that state."""
    return {
        "id": uuid4(),
        "execution_id": execution_id,
        "ordinal": 0,
        "name": str(uuid4()),
        "identifier": "satellite/p/t",
        "queue": "q",
        "run_when": "all_success",
        "config": {},
        "input": {},
        "retry_policy": {},
        "max_attempts": 3,
        "dependencies": [uuid4()],
        "dependents": [],
        "unmet": 0,
        **of_state(status),
        **other,
    }


def of_state(status: str) -> dict[str, Any]:
    """Return the columns that go with a satellite's state."""
    return {
        "status": status,
        "claim": uuid4() if status == "running" else None,
        "lease_expires_at": NOON if status == "running" else None,
        "end_time": NOON if status in TERMINAL else None,
        "reason": "upstream" if status == "skipped" else None,
        "error": "no" if status == "failed" else None,
    }


@pytest.fixture
def connection(engine: Engine) -> Iterator[Connection]:
    with engine.connect() as connection:
        yield connection


def allowed_moves(connection: Connection, table: Table, rows: Mapping[Any, dict[str, Any]]) -> set[tuple[str, str]]:
    """Try every move of a table's rows, and return those that the database lets pass."""
    allowed = set()
    for before, after in product(rows, repeat=2):
        row = rows[before] | {"id": uuid4()}
        if table is satellites:
            row["name"] = str(row["id"])
        connection.execute(insert(table).values(row))
        change = {name: value for name, value in rows[after].items() if name not in {"id", "name", "execution_id"}}
        try:
            connection.execute(update(table).where(table.c.id == row["id"]).values(change))
        except IntegrityError as refused:
            assert f"no way from {before} to {after}" in str(refused)  # noqa: PT017
        else:
            allowed.add((before, after))
    return allowed


def declared(moves: Mapping[Any, frozenset[Any]]) -> set[tuple[str, str]]:
    """Return the moves that are declared, and staying, which is none."""
    return {(before, after) for before, leads_to in moves.items() for after in {before, *leads_to}}


def test_database_allows_exactly_the_declared_moves_of_executions(connection: Connection) -> None:
    rows = {status: execution_row(status) for status in ExecutionStatus}
    assert allowed_moves(connection, executions, rows) == declared(EXECUTION_MOVES)


def test_database_allows_exactly_the_declared_moves_of_satellites(connection: Connection) -> None:
    execution = execution_row()
    connection.execute(insert(executions).values(execution))
    rows = {status: satellite_row(execution["id"], status) for status in SatelliteStatus}
    assert allowed_moves(connection, satellites, rows) == declared(SATELLITE_MOVES)


def test_enums_equal_the_databases(connection: Connection) -> None:
    query = text("""
        SELECT typname, array_agg(enumlabel ORDER BY enumsortorder)::text[]
        FROM pg_enum JOIN pg_type t ON t.oid = enumtypid GROUP BY 1
    """)
    assert {row.typname: row.array_agg for row in connection.execute(query)} == {
        "execution_status": list(states.ExecutionStatus),
        "satellite_status": list(states.SatelliteStatus),
        "failure_policy": list(states.FailurePolicy),
        "run_when": list(states.RunWhen),
    }


WRONG_EXECUTIONS = [
    ("progress_within_total", {"completed": 1, "failed": 1, "skipped": 1}),
    ("progress_not_negative", {"completed": 1, "failed": -1}),
    ("finished_has_end", {"finished_at": NOON}),
    ("finished_has_end", {"status": "completed"}),
]


@pytest.mark.parametrize(("constraint", "wrong"), WRONG_EXECUTIONS)
def test_wrong_execution_is_refused(connection: Connection, constraint: str, wrong: dict[str, Any]) -> None:
    with pytest.raises(IntegrityError, match=f"ck_executions_{constraint}"):
        connection.execute(insert(executions).values(execution_row() | wrong))


WRONG_SATELLITES = [
    ("ck_satellites_finished_has_end", {**of_state("completed"), "end_time": None}),
    ("ck_satellites_finished_has_end", {"end_time": NOON}),
    ("ck_satellites_running_has_lease", {**of_state("running"), "lease_expires_at": None}),
    ("ck_satellites_running_has_lease", {"lease_expires_at": NOON}),
    ("ck_satellites_running_has_claim", {**of_state("running"), "claim": None}),
    ("ck_satellites_skipped_has_reason", {**of_state("skipped"), "reason": None}),
    ("ck_satellites_skipped_has_reason", {"reason": "upstream"}),
    ("ck_satellites_failed_has_error", {**of_state("failed"), "error": None}),
    ("ck_satellites_queued_is_ready", {**of_state("running"), "queued_at": NOON}),
    ("ck_satellites_queued_is_ready", {"queued_at": NOON, "unmet": 1}),
    ("ck_satellites_queued_is_ready", {"queued_at": NOON, "not_before": NOON}),
    ("ck_satellites_queued_is_ready", {"queued_at": NOON, "held": True, "parent": uuid4()}),
    ("ck_satellites_held_is_unended", {"held": True}),
    ("ck_satellites_held_is_unended", {**of_state("completed"), "held": False, "parent": uuid4()}),
    ("ck_satellites_attempt_within_policy", {"attempt": 4}),
    ("ck_satellites_unmet_within_dependencies", {"unmet": 2}),
    ("ck_satellites_unmet_within_dependencies", {"unmet": -1}),
    ("fk_satellites_execution_id", {"execution_id": uuid4()}),
]


@pytest.mark.parametrize(("constraint", "wrong"), WRONG_SATELLITES)
def test_wrong_satellite_is_refused(connection: Connection, constraint: str, wrong: dict[str, Any]) -> None:
    execution = execution_row()
    connection.execute(insert(executions).values(execution))
    with pytest.raises(IntegrityError, match=constraint):
        connection.execute(insert(satellites).values(satellite_row(execution["id"]) | wrong))


def test_every_check_of_the_tables_is_tried(connection: Connection) -> None:
    query = text("""
        SELECT conname FROM pg_constraint
        WHERE contype = 'c' AND conrelid IN ('executions'::regclass, 'satellites'::regclass)
    """)
    tried = {f"ck_executions_{name}" for name, _ in WRONG_EXECUTIONS} | {name for name, _ in WRONG_SATELLITES}
    assert set(connection.execute(query).scalars()) <= tried


def test_names_are_unique_within_an_execution(connection: Connection) -> None:
    ours, theirs = execution_row(), execution_row()
    connection.execute(insert(executions).values([ours, theirs]))
    row = satellite_row(ours["id"], name="a")
    connection.execute(insert(satellites).values([row, row | {"id": uuid4(), "execution_id": theirs["id"]}]))
    with pytest.raises(IntegrityError, match="uq_satellites_execution_id_name"):
        connection.execute(insert(satellites).values(row | {"id": uuid4()}))


def test_there_is_one_admission_counter_and_it_is_never_negative(connection: Connection) -> None:
    with pytest.raises(IntegrityError, match="pk_admission"):
        connection.execute(insert(admission).values(one=1))
    with pytest.raises(IntegrityError, match="ck_admission_single_row"):
        connection.execute(insert(admission).values(one=2))
    with pytest.raises(IntegrityError, match="ck_admission_not_negative"):
        connection.execute(update(admission).values(running=-1))


def test_migrations_make_the_declared_tables(postgres: str, engine: Engine, connection: Connection) -> None:
    with engine.connect() as other:
        assert compare_metadata(MigrationContext.configure(other), metadata) == []
    name = f"{engine.url.database}_declared"
    with psycopg.connect(postgres.format("postgres"), autocommit=True) as server:
        server.execute(f"CREATE DATABASE {name}")
    declared_only = connect(postgres.format(name))
    try:
        metadata.create_all(declared_only)
        with declared_only.connect() as other:
            assert _details(connection) == _details(other)
    finally:
        declared_only.dispose()
        with psycopg.connect(postgres.format("postgres"), autocommit=True) as server:
            server.execute(f"DROP DATABASE {name}")


def _details(connection: Connection) -> set[tuple[Any, ...]]:
    """Return what Alembic does not compare: constraints and indexes as they are written, and storage parameters."""
    query = text("""
        SELECT conrelid::regclass::text, conname::text, pg_get_constraintdef(oid) FROM pg_constraint
        WHERE connamespace = 'public'::regnamespace AND conrelid <> 0 AND contype <> 'n'
        UNION ALL
        SELECT tablename::text, indexname::text, indexdef FROM pg_indexes WHERE schemaname = 'public'
        UNION ALL
        SELECT relname::text, 'storage', reloptions::text FROM pg_class WHERE relnamespace = 'public'::regnamespace
    """)
    return {tuple(row) for row in connection.execute(query) if not row[0].startswith("alembic_version")}


def test_all_enums_have_a_column(connection: Connection) -> None:
    columns = [column for table in metadata.tables.values() for column in table.c]
    assert {column.type.name for column in columns if isinstance(column.type, Enum)} == {
        "execution_status",
        "satellite_status",
        "failure_policy",
        "run_when",
    }


def test_database_goes_down_to_nothing_and_up_again(engine: Engine, database_uri: str) -> None:
    with engine.connect().execution_options(isolation_level="READ COMMITTED") as connection, connection.begin():
        command.downgrade(alembic_config(connection), "base")
    with engine.connect() as connection:
        left = text("SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace")
        assert {name for name in connection.execute(left).scalars() if not name.startswith("alembic_version")} == set()
    migrate(database_uri)
    submitted = submit(engine, chain(1))
    assert complete(engine, submitted, "s0").ended == "completed"


def test_migrating_again_changes_no_data(engine: Engine, database_uri: str) -> None:
    submitted = submit(engine, chain(2))
    complete(engine, submitted, "s0")
    migrate(database_uri)
    assert complete(engine, submitted, "s1").ended == "completed"
    assert_sound(engine, submitted.execution_id)


def test_processes_that_start_at_once_migrate_once(postgres: str, engine: Engine) -> None:
    name = f"{engine.url.database}_empty"
    with psycopg.connect(postgres.format("postgres"), autocommit=True) as server:
        server.execute(f"CREATE DATABASE {name}")
    with ThreadPoolExecutor(4) as threads:
        list(threads.map(migrate, [postgres.format(name)] * 4))
    fresh = connect(postgres.format(name))
    try:
        with fresh.connect() as connection:
            assert connection.execute(select(admission.c.running)).scalars().all() == [0]
    finally:
        fresh.dispose()
        with psycopg.connect(postgres.format("postgres"), autocommit=True) as server:
            server.execute(f"DROP DATABASE {name}")
