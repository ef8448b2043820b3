"""The values that the satellites of an execution share: `context.store`, as one attempt reads and writes them."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import TYPE_CHECKING, LiteralString

from state_manager.errors import LateOutcome, StateManagerError
from state_manager.store.engine import call

if TYPE_CHECKING:
    from uuid import UUID

    from sqlalchemy import Engine

    from state_manager.store.transitions import AttemptToken

KEYS = 10_000
"""Most keys of an execution: as many as a fan-out has items."""

_READ: LiteralString = """
    SELECT (SELECT value::text FROM shared_values WHERE execution_id = %(execution)s AND key = %(key)s)
"""
_PUT: LiteralString = "SELECT put_value(%(id)s, %(claim)s, %(key)s, %(value)s, %(keys)s)"
_INCREMENT: LiteralString = """
    SELECT answer, total::text FROM increment_value(%(id)s, %(claim)s, %(key)s, %(by)s, %(keys)s)
"""
_DELETE: LiteralString = "SELECT delete_value(%(id)s, %(claim)s, %(key)s)"


class TooManyKeys(StateManagerError):
    """The execution has as many keys as it may have."""


def read(engine: Engine, execution_id: UUID, key: str) -> str | None:
    """Read a value, which is JSON; None where there is none."""
    (found,) = call(engine, _READ, {"execution": execution_id, "key": key})
    return None if found is None else str(found)


def put(engine: Engine, attempt: AttemptToken, key: str, value: str) -> None:
    """Keep a value, which is JSON. Raises LateOutcome where the attempt was taken away, and TooManyKeys."""
    parameters = {"id": attempt.id, "claim": attempt.claim, "key": key, "value": value, "keys": KEYS}
    (answer,) = call(engine, _PUT, parameters)
    _require_stored(answer, key)


def increment(engine: Engine, attempt: AttemptToken, key: str, by: float) -> float:
    """Add to a number and return the sum. Raises as `put`, and TypeError where the value is no number.

    Sent again because its answer was lost, it adds again.
    """
    # By the decimal that is written: 0.1 and 0.2 are 0.3.
    parameters = {"id": attempt.id, "claim": attempt.claim, "key": key, "by": Decimal(repr(by)), "keys": KEYS}
    answer, total = call(engine, _INCREMENT, parameters)
    _require_stored(answer, key)
    number: float = json.loads(total)
    return number


def delete(engine: Engine, attempt: AttemptToken, key: str) -> None:
    """Remove a value, if there is one. Raises LateOutcome where the attempt was taken away."""
    (answer,) = call(engine, _DELETE, {"id": attempt.id, "claim": attempt.claim, "key": key})
    _require_stored(answer, key)


def _require_stored(answer: str, key: str) -> None:
    match answer:
        case "late":
            raise LateOutcome
        case "full":
            raise TooManyKeys(f"the execution's store has {KEYS} keys already: there is no room for {key!r}")
        case "no number":
            raise TypeError(f"the value of {key!r} is no number")
