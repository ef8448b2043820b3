"""Signals: values sent to an execution from outside, each for one satellite that waits for its name."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, LiteralString

from state_manager.errors import Conflict, KeyReused, NotFound
from state_manager.store.engine import call

if TYPE_CHECKING:
    from datetime import datetime
    from uuid import UUID

    from sqlalchemy import Engine

UNRECEIVED = 1_000
"""Most signals of an execution that may wait to be received."""

_SEND: LiteralString = """
    SELECT answer, status, signal_id, satellite_id, sent_at, ready
    FROM send_signal(%(execution)s, %(name)s, %(payload)s::json, %(key)s, %(limit)s, %(now)s)
"""
_RECEIVE: LiteralString = """
    SELECT received, payload::text, left_s FROM receive_signal(%(id)s, %(name)s, %(timeout_s)s, %(now)s)
"""


@dataclass(frozen=True, slots=True)
class Sent:
    """A signal that is kept; `satellite_id` is whom it was given to, None while nobody has it."""

    id: int
    execution_id: UUID
    name: str
    satellite_id: UUID | None
    sent_at: datetime
    ready: tuple[UUID, ...]
    """The satellites that may start because of it."""


@dataclass(frozen=True, slots=True)
class Received:
    """The result of a look for a signal: its payload, or else how long to wait on; None is for ever, 0 no longer."""

    received: bool
    payload: Any
    left_s: float | None


def send(
    engine: Engine, execution_id: UUID, name: str, payload: Any, *, key: str | None = None, now: datetime | None = None
) -> Sent:
    """Keep a signal for an execution. With the same key again it is the same signal.

    Raises NotFound; Conflict where the execution has ended, or has too many unreceived ones; and KeyReused.
    """
    parameters = {
        "execution": execution_id,
        "name": name,
        "payload": json.dumps(payload, ensure_ascii=False, allow_nan=False),
        "key": key,
        "limit": UNRECEIVED,
        "now": now,
    }
    answer, status, signal_id, satellite_id, sent_at, ready = call(engine, _SEND, parameters)
    match answer:
        case "ended" if status is None:
            raise NotFound(f"there is no execution {execution_id}")
        case "ended":
            raise Conflict(f"execution {execution_id} is {status}: nobody will receive a signal any more")
        case "full":
            raise Conflict(f"{UNRECEIVED} signals of execution {execution_id} wait to be received already")
        case "other":
            raise KeyReused("this idempotency key was used for another signal of the execution")
    return Sent(signal_id, execution_id, name, satellite_id, sent_at, tuple(ready))


def receive(
    engine: Engine, satellite_id: UUID, name: str, *, timeout_s: float | None, now: datetime | None = None
) -> Received:
    """Look for a signal of this name for a satellite that runs; where there is none, it waits from now on.

    Safe to send again: it receives the same one.
    """
    parameters = {"id": satellite_id, "name": name, "timeout_s": timeout_s, "now": now}
    received, payload, left_s = call(engine, _RECEIVE, parameters)
    return Received(received, json.loads(payload) if received else None, left_s)
