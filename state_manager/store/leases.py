"""Leases: find lost workers and attempts whose lease is over, expire those attempts, and deregister the workers."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from sqlalchemy import and_, delete, func, or_, select, text
from sqlalchemy.exc import DBAPIError

from state_manager.store.outages import is_outage
from state_manager.store.tables import satellites, workers
from state_manager.store.transitions import Settled, as_settled, outcomes_json

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence
    from datetime import datetime
    from uuid import UUID

    from sqlalchemy import ColumnElement, Engine

    from state_manager.store.transitions import Outcome

GRACE_AFTER_START = timedelta(seconds=5)
"""Time after a start of PostgreSQL in which no worker counts as lost: workers need a moment to reconnect."""

LONGEST_TIMEOUT_S = 1e9
"""Thirty years: a timestamp has a limit, and one satellite beyond it would fail the query for all."""

_EXPIRE = text("SELECT * FROM expire(CAST(:outcomes AS json), :lease_over, :max_concurrent, :now)")
_HAS_BEEN_UP = text("SELECT pg_postmaster_start_time() < clock_timestamp() - CAST(:grace AS interval)")
_TIMELINE = text("SELECT substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8)")
_SILENT = text("""
    SELECT w.id, w.session_pid, w.session_start FROM workers w
    WHERE w.session_pid IS NOT NULL AND NOT EXISTS (
        -- Of other roles' sessions only the pid is seen: then it counts as alive, and its lease decides.
        SELECT FROM pg_stat_activity a
        WHERE a.pid = w.session_pid AND coalesce(a.backend_start = w.session_start, true)
    )
""")


@dataclass(frozen=True, slots=True)
class Session:
    """A worker, and the session with PostgreSQL that it registered last."""

    worker: UUID
    pid: int
    started: datetime


@dataclass(frozen=True, slots=True)
class HeldAttempt:
    """A running attempt, and what decides what follows when its worker is lost."""

    id: UUID
    execution_id: UUID
    claim: UUID
    attempt: int
    retry_policy: dict[str, Any]
    max_attempts: int
    timeout_s: float | None
    past_its_time: bool


def has_been_up(engine: Engine) -> bool:
    """Tell whether PostgreSQL started long enough ago."""
    with engine.connect() as connection:
        return bool(connection.execute(_HAS_BEEN_UP, {"grace": GRACE_AFTER_START}).scalar_one())


def timeline(engine: Engine) -> str | None:
    """Read PostgreSQL's timeline, which changes when a standby is promoted; None where a service hides its log."""
    try:
        with engine.connect() as connection:
            return str(connection.execute(_TIMELINE).scalar_one())
    except DBAPIError as error:
        if is_outage(error):
            raise
        return None


def silent_sessions(engine: Engine) -> set[Session]:
    """List workers whose session is gone; one that is missing at two checks, with no newer session, is lost."""
    with engine.connect() as connection:
        return {Session(*row) for row in connection.execute(_SILENT)}


def children_of(engine: Engine, parent: UUID, pid: int) -> list[UUID]:
    """Find the worker that was a process's child with this pid."""
    with engine.connect() as connection:
        query = select(workers.c.id).where(workers.c.parent == parent, workers.c.pid == pid)
        return list(connection.execute(query).scalars())


def held_by(engine: Engine, lost: Collection[UUID]) -> list[HeldAttempt]:
    """Read the attempts that these workers hold."""
    return _running(engine, satellites.c.worker.in_(lost))


def overdue(
    engine: Engine, limit: int, now: datetime | None = None, *, without: Collection[UUID] = ()
) -> list[HeldAttempt]:
    """Read attempts whose lease is over, at most `limit` of them, and none of the executions in `without`."""
    over = satellites.c.lease_expires_at <= (func.clock_timestamp() if now is None else now)
    return _running(engine, and_(over, satellites.c.execution_id != func.all(list(without))), limit)


def expire(
    engine: Engine,
    outcomes: Sequence[Outcome],
    *,
    lease_over: bool,
    max_concurrent: int,
    now: datetime | None = None,
) -> Settled:
    """Count attempts of one execution as failed: of a worker known to be dead, or whose lease is over still."""
    with engine.connect() as connection:
        row = connection.execute(
            _EXPIRE,
            {
                "outcomes": outcomes_json(outcomes),
                "lease_over": lease_over,
                "max_concurrent": max_concurrent,
                "now": now,
            },
        ).one()
    return as_settled(row.landed, row.ready, row.ended, row.admitted)


def deregister(engine: Engine, lost: Collection[UUID]) -> None:
    """Remove lost workers from the table `workers`."""
    with engine.connect() as connection:
        connection.execute(delete(workers).where(workers.c.id.in_(lost)))


def deregister_silent(engine: Engine, silent_for: timedelta) -> None:
    """Remove workers that have not renewed for this long and hold nothing."""
    holding = select(satellites.c.worker).where(satellites.c.status == "running", satellites.c.worker.is_not(None))
    with engine.connect() as connection:
        connection.execute(
            delete(workers)
            .where(workers.c.renewed_at < func.clock_timestamp() - silent_for)
            .where(or_(workers.c.session_pid.is_(None), workers.c.id.not_in(holding)))
        )


def _running(engine: Engine, which: ColumnElement[bool], limit: int | None = None) -> list[HeldAttempt]:
    timeout = func.make_interval(0, 0, 0, 0, 0, 0, func.least(satellites.c.timeout_s, LONGEST_TIMEOUT_S))
    past_its_time = func.clock_timestamp() >= satellites.c.start_time + timeout
    query = (
        select(
            satellites.c.id,
            satellites.c.execution_id,
            satellites.c.claim,
            satellites.c.attempt,
            satellites.c.retry_policy,
            satellites.c.max_attempts,
            satellites.c.timeout_s,
            func.coalesce(past_its_time, False).label("past_its_time"),
        )
        .where(satellites.c.status == "running", which)
        .order_by(satellites.c.execution_id)
        .limit(limit)
    )
    with engine.connect() as connection:
        return [HeldAttempt(*row) for row in connection.execute(query)]
