"""A dispatcher and notifier that send nothing: they remember what they were asked to send."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, cast

from state_manager.lifecycle import Lifecycle
from state_manager.maintenance.services import services as reconciler_services

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime
    from uuid import UUID

    from sqlalchemy import Engine

    from state_manager.maintenance.services import Services
    from state_manager.notifications import Notifier
    from state_manager.store.queueing import Unsent


@dataclass
class Recorder:
    sent: list[UUID] = field(default_factory=list)
    enqueued: list[UUID] = field(default_factory=list)
    notified: list[UUID] = field(default_factory=list)
    probed: list[tuple[str, datetime]] = field(default_factory=list)

    def send(self, unsent: Sequence[Unsent]) -> None:
        self.sent += [one.id for one in unsent]

    def enqueue_dispatch(self, execution_id: UUID) -> None:
        self.enqueued.append(execution_id)

    def notify_watchers(self, execution_id: UUID, *, ended: bool = False) -> None:  # noqa: ARG002
        self.notified.append(execution_id)

    def send_probe(self, queue: str, sent_at: datetime) -> None:
        self.probed.append((queue, sent_at))


class BrokerAway(Recorder):
    def send(self, unsent: Sequence[Unsent]) -> None:
        raise OSError(f"nobody listens to {len(unsent)} messages")


def services(engine: Engine, recorder: Recorder, max_concurrent: int) -> Services:
    """Return what the reconciler's steps work with, all messages and notifications going to the recorder."""
    return reconciler_services(lifecycle(engine, recorder, max_concurrent), recorder, lease_s=15, interval_s=1)


def lifecycle(engine: Engine, recorder: Recorder, max_concurrent: int) -> Lifecycle:
    return Lifecycle(engine, recorder, cast("Notifier", recorder), max_concurrent)
