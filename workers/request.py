"""The parent's view of a message: notices when the child that ran it is gone."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from billiard.exceptions import WorkerLostError
from celery.worker.request import Request

from state_manager.store import leases
from state_manager.store.outages import DATABASE_ERRORS, describe
from workers import process

if TYPE_CHECKING:
    from billiard.einfo import ExceptionInfo

_log = logging.getLogger(__name__)


class SatelliteRequest(Request):  # type: ignore[misc]  # celery has no types
    """A request whose child's attempts are taken back at once when the child dies."""

    @property
    def request_dict(self) -> dict[str, Any]:
        """What the child gets to know of the message; also whether a monitor has switched Celery's events on."""
        known: dict[str, Any] = super().request_dict
        eventer = self._eventer
        # Without a monitor it is enabled for the worker's own heartbeats alone.
        known["watched"] = bool(eventer and eventer.enabled and (not eventer.groups or "task" in eventer.groups))
        return known

    def on_failure(self, exc_info: ExceptionInfo, *args: Any, **kwargs: Any) -> None:
        """Take back what a dead child held, then do as Celery does."""
        error = getattr(exc_info.exception, "exc", exc_info.exception)  # billiard wraps what crossed a pipe
        if isinstance(error, WorkerLostError | SystemExit | KeyboardInterrupt) and self.worker_pid:
            try:
                expire_child(self.worker_pid, str(error).partition(" Job:")[0])
            except DATABASE_ERRORS as refused:  # the reconciler will find its session gone
                _log.warning("the attempts of child %d stay for the reconciler: %s", self.worker_pid, describe(refused))
        super().on_failure(exc_info, *args, **kwargs)


def expire_child(pid: int, why: str) -> None:
    """Count the attempts that a dead child of this process held as failed, and forget the child."""
    worker = process.current_process()
    lost = leases.children_of(worker.engine, worker.id, pid)
    worker.lifecycle.expire(leases.held_by(worker.engine, lost), why, lease_over=False)
    leases.deregister(worker.engine, lost)
