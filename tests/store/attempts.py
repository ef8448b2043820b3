"""Claiming and settling as a worker would, by names."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any
from uuid import UUID

from sqlalchemy import func, select, update

from state_manager.states import SatelliteStatus
from state_manager.store import queueing, transitions
from state_manager.store.tables import executions, satellites
from state_manager.store.transitions import Claimed, Outcome, Settled

if TYPE_CHECKING:
    from datetime import datetime

    from sqlalchemy import Engine, RowMapping

    from state_manager.store.queueing import Unsent
    from tests.factories import Submitted

LEASE = timedelta(seconds=15)
WORKER = UUID(int=1)
MANY = 1000
MAX_INPUT_BYTES = 1000


def claim(
    engine: Engine,
    submitted: Submitted,
    *names: str,
    worker: UUID = WORKER,
    token: UUID | None = None,
    max_input_bytes: int = MAX_INPUT_BYTES,
    now: datetime | None = None,
) -> list[Claimed]:
    ids = [submitted[name] for name in names]
    return transitions.claim(
        engine, ids, worker=worker, name="a worker", lease=LEASE, max_input_bytes=max_input_bytes, token=token, now=now
    )


def completed(attempt: Claimed, output: Any = None) -> Outcome:
    return Outcome(
        attempt.id,
        attempt.claim,
        SatelliteStatus.COMPLETED,
        output=output,
        output_bytes=len(json.dumps(output)),
        duration_ms=1.5,
    )


def failed(attempt: Claimed) -> Outcome:
    return Outcome(
        attempt.id,
        attempt.claim,
        SatelliteStatus.FAILED,
        error="ValueError: no",
        error_kind="logic_error",
        traceback="…",
    )


def settle(engine: Engine, *outcomes: Outcome, max_concurrent: int = MANY, now: datetime | None = None) -> Settled:
    return transitions.settle(engine, outcomes, max_concurrent=max_concurrent, now=now)


def complete(engine: Engine, submitted: Submitted, *names: str, max_concurrent: int = MANY) -> Settled:
    """Claim and settle in one batch; each of them must be ready."""
    attempts = claim(engine, submitted, *names)
    assert len(attempts) == len(names)
    return settle(engine, *map(completed, attempts), max_concurrent=max_concurrent)


def failed_for_now(attempt: Claimed, retry_after_s: float) -> Outcome:
    """Another attempt follows, if one is left."""
    return replace(failed(attempt), retry_after_s=retry_after_s)


def fire_due(engine: Engine, limit: int, now: datetime | None = None) -> list[Unsent]:
    """Fire what is due, as a round of the reconciler does."""
    due = queueing.due(engine, limit, now=now)
    return [one for ids in due.values() for one in queueing.fire_due(engine, ids, now)]


def fail(engine: Engine, submitted: Submitted, name: str) -> Settled:
    (attempt,) = claim(engine, submitted, name)
    return settle(engine, failed(attempt))


def rows(engine: Engine, submitted: Submitted) -> dict[str, RowMapping]:
    """Read the satellites by name."""
    query = select(satellites).where(satellites.c.execution_id == submitted.execution_id)
    with engine.connect() as connection:
        return {row["name"]: row for row in connection.execute(query).mappings()}


def statuses(engine: Engine, submitted: Submitted) -> dict[str, str]:
    return {name: str(row["status"]) for name, row in rows(engine, submitted).items()}


def execution(engine: Engine, submitted: Submitted) -> RowMapping:
    query = select(executions).where(executions.c.id == submitted.execution_id)
    with engine.connect() as connection:
        return connection.execute(query).mappings().one()


def take_away(engine: Engine, satellite_id: object) -> None:
    """Take an attempt from its worker, as an expired lease will."""
    with engine.connect() as connection:
        connection.execute(
            update(satellites)
            .where(satellites.c.id == satellite_id)
            .values(status=SatelliteStatus.PENDING, claim=None, lease_expires_at=None, queued_at=func.clock_timestamp())
        )
        assert (
            connection.execute(select(satellites.c.status).where(satellites.c.id == satellite_id)).scalar() == "pending"
        )
