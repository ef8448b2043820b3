"""What a worker does when it starts and stops: registers what it can run, and says that it is there."""

from __future__ import annotations

import logging
from datetime import timedelta
from threading import Event, Thread
from typing import TYPE_CHECKING, Any

from celery import signals
from kombu import Queue
from sqlalchemy.exc import OperationalError
from uuid_utils.compat import uuid7

from exospherehost.satellites import DEFAULT_QUEUE
from state_manager import logs as console
from state_manager.config import settings
from state_manager.store import fleet
from state_manager.store.fleet import SatelliteType
from state_manager.submission import check_schema
from workers import logs, process, registry
from workers.app import app

if TYPE_CHECKING:
    from collections.abc import Collection

    from celery.worker import WorkController

REPORT_EVERY = timedelta(seconds=5)
"""So often a worker says that it is there; one that was silent for three such spans is taken for gone."""

_log = logging.getLogger(__name__)
_presence: list[Presence] = []


class Presence:
    """Reports this worker to the store until it stops."""

    def __init__(self, name: str, queues: Collection[str]) -> None:
        self._id = uuid7()
        self._name = name
        self._queues = queues
        self._stopping = Event()
        self._thread = Thread(target=self._run, name="presence", daemon=True)

    def start(self) -> None:
        """Report now, and from now on."""
        fleet.report_worker(process.engine(), self._id, self._name, self._queues)
        self._thread.start()

    def stop(self) -> None:
        """Stop reporting, and sign off."""
        self._stopping.set()
        self._thread.join()
        fleet.forget_worker(process.engine(), self._id)

    def _run(self) -> None:
        while not self._stopping.wait(REPORT_EVERY.total_seconds()):
            try:
                fleet.report_worker(process.engine(), self._id, self._name, self._queues)
            except OperationalError as error:
                _log.warning("cannot report to the database: %s", error.orig)


@signals.setup_logging.connect
def set_up_logging(**_: Any) -> None:
    """Log as the rest of the system does, and capture what satellites log and print."""
    console.configure(settings().log_level, settings().environment)
    logs.install(logging.getLogger().level)
    app.log.redirect_stdouts("INFO", name="print")


@signals.celeryd_init.connect
def choose_queues(options: dict[str, Any], **_: Any) -> None:
    """Listen to the queues of every satellite type that this worker has, unless it was told which (-Q)."""
    try:
        definitions = registry.discover().values()
        for definition in definitions:
            if definition.config_schema is not None:
                check_schema(definition.config_schema)
    except (registry.UnusableModule, ValueError) as error:
        raise SystemExit(f"cannot start this worker: {error}") from error
    if not options.get("queues"):
        names = {DEFAULT_QUEUE} | {definition.queue for definition in definitions}
        app.conf.task_queues = [Queue(name, routing_key=name) for name in sorted(names)]


@signals.worker_init.connect
def register(**_: Any) -> None:
    """Tell the API what can be submitted, before the first message is taken."""
    fleet.register_types(
        process.engine(),
        [SatelliteType(one.identifier, one.queue, one.config_schema) for one in registry.discover().values()],
    )


@signals.worker_ready.connect
def report(sender: Any, **_: Any) -> None:
    """Say that this worker is there."""
    worker: WorkController = sender.controller
    presence = Presence(worker.hostname, list(worker.app.amqp.queues.consume_from))
    presence.start()
    _presence.append(presence)


@signals.worker_shutdown.connect
def sign_off(**_: Any) -> None:
    """Say that this worker is gone."""
    while _presence:
        _presence.pop().stop()


@signals.worker_process_init.connect
def start_child(**_: Any) -> None:
    """Open connections of its own in a child of the prefork pool."""
    process.start_afresh_after_fork()
