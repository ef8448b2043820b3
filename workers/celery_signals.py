"""Handlers of Celery's signals: a worker or child registers when it starts, and is removed when it stops."""

from __future__ import annotations

import gc
import logging
import os
from typing import Any

from celery import signals
from celery.utils.nodenames import default_nodename, gethostname, nodename
from kombu import Queue

from exospherehost.satellites import DEFAULT_QUEUE, SatelliteDefinition
from state_manager import logging_setup
from state_manager.config import settings
from state_manager.configurations import check_schema
from state_manager.store import satellite_types
from state_manager.store.outages import retry_until_available
from state_manager.store.satellite_types import SatelliteType, Unavailable
from workers import process, registry
from workers.app import app
from workers.attempt import interrupts, logs, prints
from workers.startup import refuse, wait_for_migration


@signals.setup_logging.connect
def set_up_logging(**_: Any) -> None:
    """Log as the rest of the system does, and capture what satellites log and print."""
    logging_setup.configure(settings().log_level, settings().environment)
    logs.install(logging.getLogger().level)
    prints.install()


@signals.celeryd_init.connect
def name_worker(instance: Any, **_: Any) -> None:
    """Give this worker a name of its own, unless it was given one (-n): monitors tell workers apart by their names."""
    if instance.hostname == default_nodename(None):
        instance.hostname = nodename(f"worker-{os.getpid()}", gethostname())


@signals.celeryd_init.connect
def choose_queues(options: dict[str, Any], **_: Any) -> None:
    """Listen to the queues of every satellite type that this worker has, unless it was told which (-Q)."""
    try:
        definitions = registry.discover().values()
        for definition in definitions:
            if definition.config_schema is not None:
                check_schema(definition.config_schema)
    except (registry.UnusableModule, ValueError) as error:
        refuse(f"cannot start this worker: {error}")
    if not options.get("queues"):
        names = {DEFAULT_QUEUE} | {definition.queue for definition in definitions}
        app.conf.task_queues = [Queue(name, routing_key=name) for name in sorted(names)]


@signals.worker_init.connect
def register(sender: Any, **_: Any) -> None:
    """Register the satellite types of this worker, before it takes its first message."""
    process.become_worker(list(sender.app.amqp.queues.consume_from))
    wait_for_migration(process.engine())
    retry_until_available(
        lambda: satellite_types.register_types(
            process.engine(),
            [_type_of(one) for one in registry.discover().values()],
        )
    )
    # Celery collects garbage before each fork, which marks every object: no page would be left to share.
    gc.collect()
    gc.freeze()


def _type_of(one: SatelliteDefinition) -> SatelliteType:
    unavailable = tuple(Unavailable(missing.reason, dict(missing.when)) for missing in one.unavailable)
    return SatelliteType(one.identifier, one.queue, one.config_schema, one.timeout_s, one.kinds, unavailable)


@signals.worker_ready.connect
def start_worker(**_: Any) -> None:
    """Register this worker, and keep the leases of what it runs itself."""
    interrupts.install()
    process.current_process().lease_keeper.start()


@signals.worker_shutdown.connect
def stop_worker(**_: Any) -> None:
    """Remove this worker from the list."""
    process.current_process().lease_keeper.stop()


@signals.worker_process_init.connect
def start_child(**_: Any) -> None:
    """Register a child of the prefork pool, and keep its leases."""
    # What was imported stays: collecting it again and again took a tenth of the time of small satellites.
    gc.freeze()
    gc.set_threshold(50_000, 10, 10)
    interrupts.install()
    process.become_child()


@signals.worker_process_shutdown.connect
def stop_child(**_: Any) -> None:
    """Remove this child from the list."""
    process.current_process().lease_keeper.stop()
