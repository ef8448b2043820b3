"""Celery's result backend on top of the state store, so that a chord survives the loss of Redis."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from uuid import UUID

from celery import maybe_signature, states
from celery.backends.base import BaseBackend

from state_manager.states import ExecutionStatus, SatelliteStatus
from state_manager.store import satellites
from workers.dispatch.canvas import heads
from workers.process import current_process, engine

if TYPE_CHECKING:
    from celery.app.task import Context

_CELERY_STATES = {
    SatelliteStatus.PENDING: states.PENDING,
    SatelliteStatus.RUNNING: states.STARTED,
    SatelliteStatus.COMPLETED: states.SUCCESS,
    SatelliteStatus.FAILED: states.FAILURE,
    SatelliteStatus.SKIPPED: states.IGNORED,
    SatelliteStatus.CANCELLED: states.REVOKED,
}


class StateBackend(BaseBackend):  # type: ignore[misc]  # celery has no types
    """Reads results from the satellites' rows, and sends a chord's body when a settle has made it ready.

    It stores and counts nothing: the task leaves what became ready in `request.ready`.
    """

    supports_autoexpire = True

    def store_result(self, task_id: str, result: Any, state: str, *_: Any, **__: Any) -> Any:  # noqa: ARG002
        """Do nothing: the outcome is in the satellite's row already."""
        return result

    def apply_chord(self, header_result_args: Any, body: Any, **_: Any) -> None:
        """Do nothing: the join's row knows what it waits for."""

    def mark_as_revoked(self, task_id: str, *_: Any, **__: Any) -> None:
        """Cancel the execution of a satellite whose task was revoked, in Flower or by Celery's own commands."""
        row = satellites.get(engine(), UUID(task_id.partition("~")[0]))
        if row is not None:
            current_process().lifecycle.stop(row.execution_id, ExecutionStatus.CANCELLED)

    def on_chord_part_return(self, request: Context, state: str, result: Any, **_: Any) -> None:  # noqa: ARG002
        """Send the chord's body, if this part's settle was the one that made it ready."""
        ready = getattr(request, "ready", None)
        if ready and ready.issuperset(heads(request.chord)):
            maybe_signature(request.chord, app=self.app).apply_async()

    def _get_task_meta_for(self, task_id: str) -> dict[str, Any]:
        row = satellites.get(engine(), UUID(task_id.partition("~")[0]))
        if row is None:
            return {"status": states.PENDING, "result": None}
        state = _CELERY_STATES[row.status]
        failure = {"exc_type": row.error_kind, "exc_message": row.error, "exc_module": "exospherehost"}
        return {
            "task_id": task_id,
            "status": state,
            "result": failure if state == states.FAILURE else row.output,
            "traceback": row.traceback,
            "children": [],
        }
