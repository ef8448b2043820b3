"""Recording outcomes and releasing attempts, one by one where PostgreSQL refuses them together.

It refuses what it cannot keep, such as a value that is too large, and would refuse it each time. One such outcome
must neither cost the others of its batch theirs nor keep a worker busy for ever.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace
from functools import reduce
from typing import TYPE_CHECKING

from state_manager.retry import ErrorKind
from state_manager.states import SatelliteStatus
from state_manager.store import transitions
from state_manager.store.outages import DATABASE_ERRORS, describe, is_outage, retry_until_available
from state_manager.store.transitions import Settled

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence
    from uuid import UUID

    from sqlalchemy import Engine

    from state_manager.store.transitions import AttemptToken, ClaimBudget, Outcome

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Recorded:
    """The result of `record`: what settling did, and the failures that replaced refused outcomes."""

    settled: Settled
    refused: tuple[Outcome, ...] = ()

    def __or__(self, later: Recorded) -> Recorded:
        """Return what both calls recorded together."""
        return Recorded(self.settled | later.settled, self.refused + later.refused)


def record(
    engine: Engine, outcomes: Sequence[Outcome], *, max_concurrent: int, budget: ClaimBudget | None = None
) -> Recorded:
    """Settle outcomes of one execution; one that the database refuses is recorded as its satellite's failure."""
    try:
        return Recorded(_settle(engine, outcomes, max_concurrent, budget))
    except DATABASE_ERRORS as error:
        if is_outage(error):
            raise
        _log.warning("%d outcomes are recorded one by one, the first of %s: %s",
                     len(outcomes), outcomes[0].id, describe(error))  # fmt: skip
    # Without the budget: what it would have claimed may be what was refused.
    return reduce(Recorded.__or__, (_record_one(engine, outcome, max_concurrent) for outcome in outcomes))


def release(engine: Engine, attempts: Collection[AttemptToken]) -> list[UUID]:
    """Release attempts of one execution; return those that can be sent again. The lease of a refused one runs out."""
    try:
        return retry_until_available(lambda: transitions.release(engine, attempts))
    except DATABASE_ERRORS as error:
        if is_outage(error):
            raise
        if len(attempts) == 1:
            _log.error("attempt of %s is not released, its lease will run out: %s",
                       next(iter(attempts)).id, describe(error))  # fmt: skip
            return []
    return [one for attempt in attempts for one in release(engine, [attempt])]


def _settle(
    engine: Engine, outcomes: Sequence[Outcome], max_concurrent: int, budget: ClaimBudget | None = None
) -> Settled:
    return retry_until_available(
        lambda: transitions.settle(engine, outcomes, max_concurrent=max_concurrent, budget=budget)
    )


def _record_one(engine: Engine, outcome: Outcome, max_concurrent: int) -> Recorded:
    try:
        return Recorded(_settle(engine, [outcome], max_concurrent))
    except DATABASE_ERRORS as error:
        if is_outage(error):
            raise
        failure = _failure(outcome, error)
        _log.error("outcome of %s is recorded as a failure: %s", outcome.id, describe(error))
    try:
        return Recorded(_settle(engine, [failure], max_concurrent), (failure,))
    except DATABASE_ERRORS as error:
        if is_outage(error):
            raise
        _log.error("outcome of %s is not recorded, its lease will run out: %s", outcome.id, describe(error))
        return Recorded(Settled(frozenset(), (), None, ()))


def _failure(outcome: Outcome, error: Exception) -> Outcome:
    return replace(
        outcome,
        status=SatelliteStatus.FAILED,
        output=None,
        output_bytes=0,
        error=f"ConfigurationError: the database refused the outcome: {describe(error)}",
        error_kind=ErrorKind.CONFIGURATION_ERROR,
        traceback=None,
        retry_after_s=None,
    )
