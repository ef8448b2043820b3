"""Claim and settle satellites by name, as a worker would."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any
from uuid import UUID, uuid5

from sqlalchemy import func, select, update

from state_manager.states import SatelliteStatus
from state_manager.store import queueing, transitions
from state_manager.store.tables import executions, satellites
from state_manager.store.transitions import Claimed, Expansion, Outcome, Settled
from tests.factories import NOTHING

if TYPE_CHECKING:
    from datetime import datetime

    from sqlalchemy import Engine, RowMapping

    from state_manager.store.queueing import Unsent
    from tests.factories import Graph, Submitted

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


def children_of(attempt: Claimed, items: int, group: Graph | None = None, **more: Any) -> list[dict[str, Any]]:
    """Make the rows of the children of a satellite: one an item, or a group an item.

    Their ids follow from their names, so that whoever expands it makes the same.
    """
    rows: list[dict[str, Any]] = []
    graph = group or {"": []}
    for index in range(items):
        names = {name: f"{attempt.name}[{index}]" + (f"/{name}" if name else "") for name in graph}
        ids = {name: str(uuid5(attempt.id, full)) for name, full in names.items()}
        for name, needs in graph.items():
            rows.append(
                {
                    "id": ids[name],
                    "ordinal": len(rows),
                    "name": names[name],
                    "identifier": NOTHING,
                    "queue": "satellites",
                    "run_when": "all_success",
                    "config": {},
                    "input": {},
                    "timeout_s": None,
                    "retry_policy": attempt.retry_policy,
                    "dependencies": [ids[one] for one in needs],
                    "dependents": [ids[one] for one, others in graph.items() if name in others],
                    "parent": str(attempt.id),
                    "index": index,
                    "item": index,
                    "held": "max_parallel" in (attempt.dynamic or {}) or None,
                    **more,
                }
            )
    return rows


def expanded(attempt: Claimed, items: int, group: Graph | None = None, **more: Any) -> Outcome:
    """Expand a satellite into so many items, each a satellite or a group."""
    expansion = Expansion(children_of(attempt, items, group, **more), items, MANY)
    return Outcome(attempt.id, attempt.claim, SatelliteStatus.PENDING, expansion=expansion)


def requeued(attempt: Claimed, after_s: float) -> Outcome:
    """Give it another run, which is no attempt of its own."""
    return Outcome(attempt.id, attempt.claim, SatelliteStatus.PENDING, retry_after_s=after_s)


def skipped(attempt: Claimed, reason: str = "prune") -> Outcome:
    return Outcome(attempt.id, attempt.claim, SatelliteStatus.SKIPPED, reason=reason)


def settle(engine: Engine, *outcomes: Outcome, max_concurrent: int = MANY, now: datetime | None = None) -> Settled:
    return transitions.settle(engine, outcomes, max_concurrent=max_concurrent, now=now)


def complete(engine: Engine, submitted: Submitted, *names: str, max_concurrent: int = MANY) -> Settled:
    """Claim and settle in one batch; each of them must be ready."""
    attempts = claim(engine, submitted, *names)
    assert len(attempts) == len(names)
    return settle(engine, *map(completed, attempts), max_concurrent=max_concurrent)


def failed_for_now(attempt: Claimed, retry_after_s: float) -> Outcome:
    """Return a failure that is retried, if an attempt is left."""
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
