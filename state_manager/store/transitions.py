"""The transitions of satellites: one function, one guarded move, one round trip (`sql/` has their texts)."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sqlalchemy import text

from state_manager.states import ExecutionStatus, SatelliteStatus

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime, timedelta
    from uuid import UUID

    from sqlalchemy import Engine

_CLAIM = text("SELECT * FROM claim(:ids, :worker, :lease, :now)")
_SETTLE = text("SELECT * FROM settle(CAST(:outcomes AS json), :max_concurrent, :now)")


@dataclass(frozen=True, slots=True)
class Claimed:
    """An attempt that a worker may now run. `claim` is its fencing token: only who names it can settle."""

    id: UUID
    execution_id: UUID
    claim: UUID
    name: str
    identifier: str
    attempt: int
    config: dict[str, Any]
    input: dict[str, Any]
    dependency_outputs: dict[str, Any] | None


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of an attempt: `completed` with an output, or `failed` with an error and its kind."""

    id: UUID
    claim: UUID
    status: SatelliteStatus
    output: Any = None
    output_bytes: int = 0
    error: str | None = None
    error_kind: str | None = None
    traceback: str | None = None
    duration_ms: float | None = None
    resource_usage: dict[str, float | None] | None = None


@dataclass(frozen=True, slots=True)
class Settled:
    """What settling did: which outcomes are recorded, what may start now, and what ended or was let in."""

    landed: frozenset[UUID]
    ready: tuple[UUID, ...]
    ended: ExecutionStatus | None
    admitted: tuple[UUID, ...]


def claim(
    engine: Engine, ids: Sequence[UUID], *, worker: str, lease: timedelta, now: datetime | None = None
) -> list[Claimed]:
    """Take those satellites, all of one execution, that may start now; the others are not in the answer."""
    with engine.connect() as connection:
        rows = connection.execute(_CLAIM, {"ids": list(ids), "worker": worker, "lease": lease, "now": now}).mappings()
        return [Claimed(**row) for row in rows]


def settle(engine: Engine, outcomes: Sequence[Outcome], *, max_concurrent: int, now: datetime | None = None) -> Settled:
    """Record the outcomes of attempts, all of one execution.

    Safe to send again when the answer was lost: a token settles once, and later calls answer as the first did.
    An outcome whose attempt was taken away is not among the `landed`, and has changed nothing.
    """
    document = json.dumps([_as_json(outcome) for outcome in outcomes], ensure_ascii=False, allow_nan=False)
    with engine.connect() as connection:
        row = connection.execute(_SETTLE, {"outcomes": document, "max_concurrent": max_concurrent, "now": now}).one()
    return Settled(
        landed=frozenset(row.landed),
        ready=tuple(row.ready),
        ended=None if row.ended is None else ExecutionStatus(row.ended),
        admitted=tuple(row.admitted),
    )


def _as_json(outcome: Outcome) -> dict[str, Any]:
    return {
        "id": str(outcome.id),
        "claim": str(outcome.claim),
        "status": outcome.status,
        "output": outcome.output,
        "output_bytes": outcome.output_bytes,
        "error": outcome.error,
        "error_kind": outcome.error_kind,
        "traceback": outcome.traceback,
        "duration_ms": outcome.duration_ms,
        "resource_usage": outcome.resource_usage,
    }
