"""Celery beat as the reconciler's process, `celery -A workers beat`: runs it directly, not as a task in a queue."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from celery.beat import Scheduler

from state_manager.config import settings
from state_manager.store.outages import DATABASE_ERRORS, describe, is_outage
from workers.process import current_process, engine
from workers.startup import wait_for_migration

if TYPE_CHECKING:
    from collections.abc import Callable

_log = logging.getLogger(__name__)


class ReconcilerScheduler(Scheduler):  # type: ignore[misc]  # celery has no types
    """A scheduler for Celery beat that runs a round of the reconciler at each tick."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        wait_for_migration(engine())
        self._reconciler = current_process().reconciler

    def tick(self, *_: Callable[..., Any], **__: Any) -> float:
        """Run one round; return the seconds until the next."""
        try:
            found = +self._reconciler.run_once()
        except DATABASE_ERRORS as error:
            if not is_outage(error):
                raise
            _log.warning("this round is left unfinished: %s", describe(error))
        else:
            found.pop("probed", None)
            if found:
                _log.info("repaired: %s", ", ".join(f"{count} {what}" for what, count in found.items()))
        return settings().reconcile_interval_s
