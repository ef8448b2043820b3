"""The transitions of satellites: one function, one guarded move, one round trip (`sql/` has their texts)."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from uuid import UUID, uuid4

from sqlalchemy import text

from state_manager.states import ExecutionStatus, SatelliteStatus

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime, timedelta

    from sqlalchemy import Engine, Row

_CLAIM = text("SELECT * FROM claim(:ids, :token, :worker, :name, :lease, :now)")
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
    timeout_s: float | None
    retry_policy: dict[str, Any]
    max_attempts: int
    config: dict[str, Any]
    input: dict[str, Any]
    dependency_outputs: dict[str, Any] | None


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of an attempt: `completed` with an output, or `failed` with an error and its kind.

    A failure with `retry_after_s` is followed by another attempt after so many seconds, if one is left.
    """

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
    retry_after_s: float | None = None


@dataclass(frozen=True, slots=True)
class Settled:
    """What settling did: which outcomes are recorded, what may start now, and what ended or was let in."""

    landed: frozenset[UUID]
    ready: tuple[UUID, ...]
    ended: ExecutionStatus | None
    admitted: tuple[UUID, ...]


def claim(
    engine: Engine,
    ids: Sequence[UUID],
    *,
    worker: UUID,
    name: str,
    lease: timedelta,
    token: UUID | None = None,
    now: datetime | None = None,
) -> list[Claimed]:
    """Take those satellites, all of one execution, that may start now; the others are not in the answer.

    Their fencing token is random, one a call; a call that is sent again with its `token` finds what it took.
    """
    parameters = {
        "ids": list(ids),
        "token": token or uuid4(),
        "worker": worker,
        "name": name,
        "lease": lease,
        "now": now,
    }
    with engine.connect() as connection:
        return [Claimed(**row) for row in connection.execute(_CLAIM, parameters).mappings()]


def settle(engine: Engine, outcomes: Sequence[Outcome], *, max_concurrent: int, now: datetime | None = None) -> Settled:
    """Record the outcomes of attempts, all of one execution.

    Safe to send again when the answer was lost: a token settles once, and later calls answer as the first did.
    An outcome whose attempt was taken away is not among the `landed`, and has changed nothing.
    """
    document = json.dumps([outcome_json(outcome) for outcome in outcomes], ensure_ascii=False, allow_nan=False)
    with engine.connect() as connection:
        row = connection.execute(_SETTLE, {"outcomes": document, "max_concurrent": max_concurrent, "now": now}).one()
    return as_settled(row)


def as_settled(row: Row[Any]) -> Settled:
    """Read what `settle` and `expire` answer."""
    return Settled(
        landed=frozenset(row.landed),
        ready=tuple(row.ready),
        ended=None if row.ended is None else ExecutionStatus(row.ended),
        admitted=tuple(row.admitted),
    )


def outcome_json(outcome: Outcome) -> dict[str, Any]:
    """Write an outcome as the functions read it."""
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
        "retry_after_s": outcome.retry_after_s,
    }
