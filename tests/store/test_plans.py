"""Frequent queries read no table whole, however long the history: PostgreSQL's own counters say so."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING
from uuid import uuid4

import pytest
from sqlalchemy import text

from state_manager.maintenance import (
    admission as admission_step,
)
from state_manager.maintenance import (
    due_attempts,
    expired_leases,
    late_executions,
    lost_messages,
    lost_workers,
)
from state_manager.states import ExecutionStatus
from state_manager.store import events, executions, leases, queueing, satellites, transitions
from state_manager.store.executions import Filter
from tests.factories import DIAMOND, Submitted, submit
from tests.store.attempts import MANY, claim, completed, failed, settle
from tests.store.recorder import Recorder, services

if TYPE_CHECKING:
    from collections.abc import Callable
    from uuid import UUID

    from sqlalchemy import Engine

_HISTORY = [
    """
    INSERT INTO executions (id, project, cluster_id, status, sla, deadline, failure_policy, timeout_s, definition,
        definition_hash, total, completed, seq, created_at, updated_at, started_at, finished_at)
    SELECT md5('e' || n)::uuid, 'old', 'old/cluster', 'completed', '24h', now(), 'continue', 3600, '{}', '', 4, 4, 11,
        now(), now(), now(), now()
    FROM generate_series(1, 2000) AS n
    """,
    """
    INSERT INTO satellites (id, execution_id, ordinal, name, identifier, status, queue, run_when, config, input,
        retry_policy, max_attempts, dependencies, dependents, unmet, attempt, claim, start_time, end_time)
    SELECT md5('s' || n || '.' || m)::uuid, md5('e' || n)::uuid, m, m::text, 'old', 'completed', 'satellites',
        'all_success', '{}', '{}', '{}', 3, '{}', '{}', 0, 1, gen_random_uuid(), now(), now()
    FROM generate_series(1, 2000) AS n, generate_series(1, 4) AS m
    """,
    """
    INSERT INTO events (execution_id, seq, kind, status, at)
    SELECT md5('e' || n)::uuid, m, 'old', 'old', now() FROM generate_series(1, 2000) AS n, generate_series(1, 11) AS m
    """,
]
_READ = text("""
    SELECT relname, seq_tup_read FROM pg_stat_user_tables WHERE relname IN ('executions', 'satellites', 'events')
""")


def read_whole(engine: Engine) -> dict[str, int]:
    """Count the rows that were read by going through whole tables, in this database, ever."""
    with engine.connect() as connection:
        connection.execute(text("SELECT pg_stat_force_next_flush()"))
        connection.execute(text("SELECT 1"))
    engine.dispose()
    with engine.connect() as connection:
        return {row.relname: row.seq_tup_read for row in connection.execute(_READ)}


@pytest.fixture(params=["with statistics", "without statistics"])
def history(request: pytest.FixtureRequest, engine: Engine) -> None:
    """2,000 finished executions, which autovacuum has looked at or not."""
    with engine.connect() as connection:
        for statement in _HISTORY:
            connection.execute(text(statement))
        if request.param == "with statistics":
            connection.execute(text("ANALYZE"))


def run_a_diamond(engine: Engine) -> Submitted:
    submitted = submit(engine, DIAMOND)
    for names in (["a"], ["b", "c"], ["d"]):
        settle(engine, *map(completed, claim(engine, submitted, *names)))
    return submitted


def fail_one(engine: Engine) -> UUID:
    (attempt,) = claim(engine, submit(engine, DIAMOND, max_attempts=1), "a")
    settle(engine, failed(attempt))
    return attempt.execution_id


def release(engine: Engine) -> None:
    transitions.release(engine, claim(engine, submit(engine, DIAMOND), "a"))


def stop(engine: Engine) -> None:
    execution_id = submit(engine, DIAMOND).execution_id
    executions.stop(engine, execution_id, ExecutionStatus.CANCELLED, max_concurrent=MANY)


TRANSITIONS: dict[str, Callable[[Engine], object]] = {
    "submit, claim and settle": run_a_diamond,
    "fail": fail_one,
    "retry": lambda engine: executions.retry(engine, fail_one(engine)),
    "release": release,
    "stop": stop,
}


@pytest.mark.usefixtures("history")
@pytest.mark.parametrize("name", TRANSITIONS)
def test_transitions_read_no_table_whole(engine: Engine, name: str) -> None:
    TRANSITIONS[name](engine)
    before = read_whole(engine)

    TRANSITIONS[name](engine)

    assert read_whole(engine) == before


def looks(submitted: Submitted) -> dict[str, Callable[[Engine], object]]:
    return {
        "ready": lambda engine: satellites.ready(engine, submitted.execution_id),
        "unsent": lambda engine: queueing.unsent(engine, list(submitted.ids.values())),
        "a satellite": lambda engine: satellites.get(engine, submitted["a"]),
        "an execution": lambda engine: executions.get(engine, submitted.execution_id),
        "a list": lambda engine: executions.find(engine, Filter(project="test", limit=5)),
        "events": lambda engine: events.read(engine, submitted.execution_id, after=3, limit=5),
        "held by a lost worker": lambda engine: leases.held_by(engine, [uuid4()]),
        "lost messages": lambda engine: queueing.take_lost_messages(engine, "satellites", datetime.now(UTC), 10),
        "lost workers": lambda engine: lost_workers.run_once(services(engine, Recorder(), MANY)),
        "leases that are over": lambda engine: expired_leases.run_once(services(engine, Recorder(), MANY)),
        "waits that are over": lambda engine: due_attempts.run_once(services(engine, Recorder(), MANY)),
        "late executions": lambda engine: late_executions.run_once(services(engine, Recorder(), MANY)),
        "admission": lambda engine: admission_step.run_once(services(engine, Recorder(), MANY)),
        "probes": lambda engine: lost_messages.run_once(services(engine, Recorder(), MANY)),
    }


@pytest.mark.usefixtures("history")
@pytest.mark.parametrize("name", looks(Submitted.__new__(Submitted)))
def test_looks_read_no_table_whole(engine: Engine, name: str) -> None:
    submitted = run_a_diamond(engine)
    claim(engine, submit(engine, DIAMOND), "a")
    look = looks(submitted)[name]
    look(engine)
    before = read_whole(engine)

    look(engine)

    assert read_whole(engine) == before
