"""What a step of the reconciler works with."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from state_manager import lifecycle

if TYPE_CHECKING:
    from datetime import datetime

    from sqlalchemy import Engine

    from state_manager.lifecycle import Lifecycle

BATCH_SIZE = 500
"""Most that one step repairs in a round; the next round comes within a second or so."""


class Dispatcher(lifecycle.Dispatcher, Protocol):
    """What sends messages, and probes too."""

    def send_probe(self, queue: str, sent_at: datetime) -> None:
        """Send a probe through a queue."""


@dataclass(frozen=True, slots=True)
class Services:
    """The database, the dispatcher, and the lifecycle of executions."""

    engine: Engine
    dispatcher: Dispatcher
    lifecycle: Lifecycle
