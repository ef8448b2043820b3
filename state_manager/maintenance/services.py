"""The services that the reconciler's steps share: database, dispatcher, lifecycle, grace period and repairs."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from state_manager import lifecycle
from state_manager.maintenance.grace import Grace
from state_manager.maintenance.repairs import Repairs

if TYPE_CHECKING:
    from datetime import datetime
    from uuid import UUID

    from sqlalchemy import Engine

    from state_manager.lifecycle import Lifecycle

BATCH_SIZE = 500
"""Most that one step repairs in a round; the next round comes within a second or so."""


class Dispatcher(lifecycle.Dispatcher, Protocol):
    """A sender of messages, and of probes."""

    def send_probe(self, queue: str, sent_at: datetime) -> None:
        """Send a probe through a queue."""


@dataclass(slots=True)
class Cursor:
    """The execution that the step `stuck` checked last: it goes through all idle executions in turn."""

    last: UUID | None = None


@dataclass(frozen=True, slots=True)
class Services:
    """The database, the dispatcher, the lifecycle of executions, and what the reconciler remembers between rounds."""

    engine: Engine
    dispatcher: Dispatcher
    lifecycle: Lifecycle
    grace: Grace
    repairs: Repairs
    cursor: Cursor = field(default_factory=Cursor)


def services(lifecycle: Lifecycle, dispatcher: Dispatcher, *, lease_s: float, interval_s: float) -> Services:
    """Create the services that the steps share, around a lifecycle; a round begins about every `interval_s`."""
    grace = Grace(lifecycle.engine, lease_s, interval_s)
    return Services(lifecycle.engine, dispatcher, lifecycle, grace, Repairs(lifecycle))
