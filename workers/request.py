"""The parent's side of a message: what Celery's own process does when a child ends, or is to end."""

from __future__ import annotations

import logging
from itertools import groupby
from operator import attrgetter
from typing import TYPE_CHECKING, Any

from billiard.exceptions import WorkerLostError
from celery.concurrency import prefork
from celery.worker import state
from celery.worker.request import Request

from state_manager.maintenance.lost_attempts import expire
from state_manager.maintenance.repairs import Repairs
from state_manager.store import leases
from state_manager.store.outages import DATABASE_ERRORS, describe
from workers import outcomes, process
from workers.orderly_stop import Stopped

if TYPE_CHECKING:
    from billiard.einfo import ExceptionInfo
    from celery.concurrency.base import BasePool

_log = logging.getLogger(__name__)


class SatelliteRequest(Request):  # type: ignore[misc]  # celery has no types
    """A request whose child's attempts are taken back at once when the child dies, and handed back by a stop."""

    @property
    def request_dict(self) -> dict[str, Any]:
        """The request as the child gets it, with `watched`: whether a monitor has switched Celery's events on."""
        known: dict[str, Any] = super().request_dict
        eventer = self._eventer
        # Without a monitor it is enabled for the worker's own heartbeats alone.
        known["watched"] = bool(eventer and eventer.enabled and (not eventer.groups or "task" in eventer.groups))
        return known

    def cancel(self, pool: BasePool, signal: str | None = None, emit_retry: bool = True) -> None:
        """Interrupt this request in a cold shutdown; where the pool is not prefork, with all that this process runs."""
        if isinstance(pool, prefork.TaskPool):
            super().cancel(pool, signal, emit_retry)
        else:
            process.current_process().watchdog.stop()

    def on_failure(self, exc_info: ExceptionInfo, *args: Any, **kwargs: Any) -> None:
        """Take back what a dead child held, then do as Celery does."""
        error = getattr(exc_info.exception, "exc", exc_info.exception)  # billiard wraps what crossed a pipe
        if isinstance(error, Stopped):  # it has handed back what it held
            state.task_ready(self)
            return
        if isinstance(error, WorkerLostError | SystemExit | KeyboardInterrupt) and self.worker_pid:
            try:
                take_back(self.worker_pid, str(error).partition(" Job:")[0])
            except DATABASE_ERRORS as refused:  # the reconciler will find its session gone
                _log.warning("the attempts of child %d stay for the reconciler: %s", self.worker_pid, describe(refused))
        super().on_failure(exc_info, *args, **kwargs)


def take_back(pid: int, why: str) -> None:
    """Take back the attempts of a dead child of this process, and remove the child from the list of workers.

    They count as lost, unless this worker is stopping: then they are released, uncharged.
    """
    me = process.current_process()
    lost = leases.children_of(me.engine, me.id, pid)
    held = leases.held_by(me.engine, lost)
    if state.should_stop is None and state.should_terminate is None:
        expire(Repairs(me.lifecycle), held, why, lease_over=False)
    else:
        for _, attempts in groupby(held, key=attrgetter("execution_id")):
            me.dispatcher.send_ready(outcomes.release(me.engine, list(attempts)), apart=True)
    leases.deregister(me.engine, lost)
