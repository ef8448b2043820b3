"""Claim, settle and release satellites: each is one guarded transition in one round trip (SQL in `sql/`)."""

from __future__ import annotations

import json
import time
from dataclasses import asdict, dataclass, replace
from datetime import timedelta
from functools import reduce
from typing import TYPE_CHECKING, Any, LiteralString, Protocol
from uuid import UUID, uuid4

from state_manager.states import ExecutionStatus, SatelliteStatus
from state_manager.store.engine import call

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping, Sequence
    from datetime import datetime

    from sqlalchemy import Engine

_CLAIM: LiteralString = (
    "SELECT claim(%(ids)s, %(token)s, %(worker)s, %(name)s, %(lease)s, %(max_input_bytes)s, %(now)s)"
)
_SETTLE: LiteralString = """
    SELECT landed, ready, ended, admitted, claimed
    FROM settle(%(outcomes)s::json, %(max_concurrent)s, %(budget)s::json, %(now)s)
"""
_RELEASE: LiteralString = "SELECT release(%(ids)s, %(claims)s, p_now => %(now)s)"


_NOBODY = UUID(int=0)

CALL_BYTES = 64 * 1024 * 1024
"""Largest sum of outputs in one call of `settle`: PostgreSQL reads it as one JSON value."""

WARM_UP_CALLS = 6
"""From the sixth time on psycopg sends a statement prepared (its `prepare_threshold`)."""


class AttemptToken(Protocol):
    """The name of one attempt: its satellite, and the fencing token of its claim."""

    @property
    def id(self) -> UUID:
        """The satellite's id."""

    @property
    def claim(self) -> UUID:
        """The fencing token."""


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
    input_bytes: int
    dependency_outputs: dict[str, Any] | None
    """None, too, where they are larger together than the caller allowed: then `input_bytes` says how large."""
    dynamic: dict[str, Any] | None = None
    """The fields with expressions, which are resolved before it runs; None for most satellites."""
    children: int = 0
    """The number of satellites that its expansion has made: then it is to gather their outputs."""
    index: int | None = None
    item: Any = None
    """Of a satellite of a fan-out, its place and its item."""

    @classmethod
    def from_json(cls, row: dict[str, Any]) -> Claimed:
        """Read what `claim` and `settle` answer."""
        ids = {name: UUID(row[name]) for name in ("id", "execution_id", "claim")}
        return cls(**row | ids)


@dataclass(frozen=True)
class ClaimBudget:
    """The limits of what a worker may claim with a settle, of what that settle makes ready.

    The first ready satellite in any case; others behind it while their types are in `durations_ms` (usual
    milliseconds by identifier), they are on one of its `queues`, and together take no longer than `time_ms`.
    """

    token: UUID
    worker: UUID
    name: str
    lease_s: float
    queues: Collection[str]
    durations_ms: Mapping[str, float]
    time_ms: float
    limit: int
    max_input_bytes: int


@dataclass(frozen=True, slots=True)
class Expansion:
    """The children of a fan-out or a group: their rows, as `insert_satellites` reads them."""

    children: Sequence[Mapping[str, Any]]
    items: int
    max_total: int
    """Most satellites that the execution may have."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """The outcome of an attempt.

    It is `completed` with an output, `failed` with an error and its kind, or `skipped` with a reason. With `pending` it
    is not charged: the satellite is expanded into children, or runs again after `retry_after_s`. A failure with
    `retry_after_s` is followed by another attempt after so many seconds, if one is left.
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
    ended_at: float | None = None
    """On this process's monotonic clock."""
    resource_usage: dict[str, float | None] | None = None
    retry_after_s: float | None = None
    reason: str | None = None
    expansion: Expansion | None = None


@dataclass(frozen=True, slots=True)
class Settled:
    """The result of `settle`: which outcomes are recorded, what may start now, what ended and what was admitted."""

    landed: frozenset[UUID]
    ready: tuple[UUID, ...]
    ended: ExecutionStatus | None
    admitted: tuple[UUID, ...]
    claimed: tuple[Claimed, ...] = ()

    def __or__(self, later: Settled) -> Settled:
        """Return what both calls did together."""
        return Settled(
            self.landed | later.landed,
            self.ready + later.ready,
            later.ended or self.ended,
            self.admitted + later.admitted,
            self.claimed + later.claimed,
        )


def claim(
    engine: Engine,
    ids: Sequence[UUID],
    *,
    worker: UUID,
    name: str,
    lease: timedelta,
    max_input_bytes: int,
    token: UUID | None = None,
    now: datetime | None = None,
) -> list[Claimed]:
    """Take those satellites, all of one execution, that may start now; the others are not in the answer.

    Those whose inputs, in the document's order, take more than `max_input_bytes` together are left ready.

    Their fencing token is random, one a call; a call that is sent again with its `token` finds what it took.
    """
    parameters = {
        "ids": list(ids),
        "token": token or uuid4(),
        "worker": worker,
        "name": name,
        "lease": lease,
        "max_input_bytes": max_input_bytes,
        "now": now,
    }
    (rows,) = call(engine, _CLAIM, parameters)
    return [Claimed.from_json(row) for row in rows]


def settle(
    engine: Engine,
    outcomes: Sequence[Outcome],
    *,
    max_concurrent: int,
    budget: ClaimBudget | None = None,
    now: datetime | None = None,
) -> Settled:
    """Record the outcomes of attempts, all of one execution; with `budget`, claim what may start now and fits.

    Safe to send again when the answer was lost: a token settles once, and later calls answer as the first did.
    An outcome whose attempt was taken away is not among the `landed`, and has changed nothing.
    """
    *earlier, last = _calls(outcomes)
    settled = [_settle(engine, one, max_concurrent, None, now) for one in earlier]
    settled.append(_settle(engine, last, max_concurrent, budget, now))
    return reduce(Settled.__or__, settled)


def _calls(outcomes: Sequence[Outcome]) -> Iterator[Sequence[Outcome]]:
    """Divide outcomes among calls, none of which carries more than `CALL_BYTES` of outputs, or else a single one."""
    first, size = 0, 0
    for at, outcome in enumerate(outcomes):
        if at > first and size + outcome.output_bytes > CALL_BYTES:
            yield outcomes[first:at]
            first, size = at, 0
        size += outcome.output_bytes
    yield outcomes[first:]


def _settle(
    engine: Engine,
    outcomes: Sequence[Outcome],
    max_concurrent: int,
    budget: ClaimBudget | None,
    now: datetime | None,
) -> Settled:
    parameters = {
        "outcomes": outcomes_json(outcomes),
        "max_concurrent": max_concurrent,
        "budget": None if budget is None else json.dumps(vars(budget), default=str),
        "now": now,
    }
    *settled, claimed = call(engine, _SETTLE, parameters)
    return replace(as_settled(*settled), claimed=tuple(map(Claimed.from_json, claimed)))


def release(engine: Engine, attempts: Collection[AttemptToken], *, now: datetime | None = None) -> list[UUID]:
    """Give back attempts of one execution that were claimed and not started; return those that can be sent again."""
    parameters = {
        "ids": [attempt.id for attempt in attempts],
        "claims": [attempt.claim for attempt in attempts],
        "now": now,
    }
    (released,) = call(engine, _RELEASE, parameters)
    return list(released)


def warm_up(engine: Engine) -> None:
    """Claim and settle what is not there, so that the first message finds a connection and its statements planned.

    A new session spends ten milliseconds on that: as long as a dozen short satellites.
    """
    outcome = Outcome(_NOBODY, _NOBODY, SatelliteStatus.COMPLETED)
    budget = ClaimBudget(_NOBODY, _NOBODY, "", 0, (), {}, 0, 0, 0)
    for _ in range(WARM_UP_CALLS):
        claim(engine, [_NOBODY], worker=_NOBODY, name="", lease=timedelta(0), max_input_bytes=0)
        settle(engine, [outcome], max_concurrent=0, budget=budget)


def as_settled(
    landed: Collection[UUID],
    ready: Collection[UUID],
    ended: str | None,
    admitted: Collection[UUID],
) -> Settled:
    """Read what `settle` and `expire` answer."""
    end = None if ended is None else ExecutionStatus(ended)
    return Settled(frozenset(landed), tuple(ready), end, tuple(admitted))


def outcomes_json(outcomes: Sequence[Outcome]) -> str:
    """Write outcomes as the functions read them, as of this moment."""
    now = time.monotonic()
    return json.dumps([_as_json(outcome, now) for outcome in outcomes], ensure_ascii=False, allow_nan=False)


def _as_json(outcome: Outcome, now: float) -> dict[str, Any]:
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
        "ended_ms_ago": None if outcome.ended_at is None else (now - outcome.ended_at) * 1000,
        "resource_usage": outcome.resource_usage,
        "retry_after_s": outcome.retry_after_s,
    } | _more(outcome)


def _more(outcome: Outcome) -> dict[str, Any]:
    """Return the fields that most outcomes do not have."""
    if outcome.expansion is not None:
        return asdict(outcome.expansion)
    return {} if outcome.reason is None else {"reason": outcome.reason}
