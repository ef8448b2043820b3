"""A dispatcher that sends nothing: it remembers what the reconciler asked it to send."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime
    from uuid import UUID

    from state_manager.store.recovery import Unsent


@dataclass
class Recorder:
    sent: list[UUID] = field(default_factory=list)
    handed_over: list[UUID] = field(default_factory=list)
    announced: list[UUID] = field(default_factory=list)
    probed: list[tuple[str, datetime]] = field(default_factory=list)

    def send_again(self, unsent: Sequence[Unsent]) -> None:
        self.sent += [one.id for one in unsent]

    def hand_over(self, execution_id: UUID) -> None:
        self.handed_over.append(execution_id)

    def announce(self, execution_id: UUID) -> None:
        self.announced.append(execution_id)

    def probe(self, queue: str, sent_at: datetime) -> None:
        self.probed.append((queue, sent_at))


class BrokerAway(Recorder):
    def send_again(self, unsent: Sequence[Unsent]) -> None:
        raise OSError(f"nobody listens to {len(unsent)} messages")
