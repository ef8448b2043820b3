"""From rows to JSON: what clients see of executions, satellites, events and logs. Pure."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from state_manager.states import SatelliteStatus

if TYPE_CHECKING:
    from collections.abc import Mapping

    from state_manager.store.executions import Snapshot


def moment(at: datetime | None) -> str | None:
    """Write a time as ISO 8601 in UTC."""
    return None if at is None else at.astimezone(UTC).isoformat().replace("+00:00", "Z")


def listed_execution(row: Mapping[Any, Any]) -> dict[str, Any]:
    """Present an execution without its satellites."""
    return {
        "execution_id": str(row["id"]),
        "cluster_id": row["cluster_id"],
        "project": row["project"],
        "status": row["status"],
        "created_at": moment(row["created_at"]),
        "updated_at": moment(row["updated_at"]),
        "started_at": moment(row["started_at"]),
        "finished_at": moment(row["finished_at"]),
        "sla": row["sla"],
        "deadline": moment(row["deadline"]),
        "timeout": row["timeout_s"],
        "error": row["error"],
        "progress": progress(row),
        "seq": row["seq"],
    }


def execution(snapshot: Snapshot) -> dict[str, Any]:
    """Present an execution in full; its outputs are left out where the snapshot has none."""
    row, rows = snapshot.execution, snapshot.satellites
    definition = row["definition"]
    return {
        **listed_execution(row),
        **{name: definition[name] for name in ("title", "description") if name in definition},
        "satellites": [_member(one, with_output=not snapshot.outputs_omitted) for one in rows],
        "dependencies": {str(one["id"]): [str(needed) for needed in one["dependencies"]] for one in rows},
        "results": {} if snapshot.outputs_omitted else _results(snapshot),
        "output_omitted": snapshot.outputs_omitted,
    }


def progress(row: Mapping[Any, Any]) -> dict[str, float]:
    """Present how far an execution is; `percent` counts every satellite that has ended, however it did."""
    return {
        "total_satellites": row["total"],
        "completed_satellites": row["completed"],
        "failed_satellites": row["failed"],
        "skipped_satellites": row["skipped"],
        "cancelled_satellites": row["cancelled"],
        "percent": percent(ended(row), row["total"]),
    }


def ended(row: Mapping[Any, Any]) -> int:
    """Count an execution's satellites that have ended, however they did."""
    return int(row["completed"] + row["failed"] + row["skipped"] + row["cancelled"])


def percent(ended: int, total: int) -> float:
    """Say how far an execution is, from 0 to 100, when so many of its satellites have ended."""
    return round(100 * ended / total, 2)


def satellite(row: Mapping[Any, Any]) -> dict[str, Any]:
    """Present a satellite in full."""
    return {
        **_member(row, with_output=True),
        "execution_id": str(row["execution_id"]),
        "config": row["config"],
        "input": {**(row["dependency_outputs"] or {}), **row["input"]},
        "traceback": row["traceback"],
        "queue": row["queue"],
        "run_when": row["run_when"],
        "timeout": row["timeout_s"],
        "max_attempts": row["max_attempts"],
        "retry_policy": row["retry_policy"],
        "not_before": moment(row["not_before"]),
        "resource_usage": row["resource_usage"],
        "dependencies": [str(needed) for needed in row["dependencies"]],
    }


def event(row: Mapping[Any, Any]) -> dict[str, Any]:
    """Present an entry of an execution's event log."""
    return {
        "seq": row["seq"],
        "execution_id": str(row["execution_id"]),
        "satellite_id": None if row["satellite_id"] is None else str(row["satellite_id"]),
        "name": row["name"],
        "kind": row["kind"],
        "status": row["status"],
        "at": moment(row["at"]),
        "data": row["data"],
    }


def log(row: Mapping[Any, Any]) -> dict[str, Any]:
    """Present a line that a satellite logged."""
    return {"at": moment(row["at"]), "attempt": row["attempt"], "level": row["level"], "message": row["message"]}


def worker(row: Mapping[Any, Any]) -> dict[str, Any]:
    """Present a worker that gave a sign of life lately, and how long ago that was."""
    return {
        "name": row["name"],
        "queues": row["queues"],
        "started_at": moment(row["started_at"]),
        "age_s": round(float(row["age_s"]), 3),
    }


def _member(row: Mapping[Any, Any], *, with_output: bool) -> dict[str, Any]:
    shown = {
        "satellite_id": str(row["id"]),
        "name": row["name"],
        "identifier": row["identifier"],
        "status": row["status"],
        "reason": row["reason"],
        "start_time": moment(row["start_time"]),
        "end_time": moment(row["end_time"]),
        "duration_ms": row["duration_ms"],
        "error": row["error"],
        "error_kind": row["error_kind"],
        "attempt": row["attempt"],
        "retries": max(row["attempt"] - 1, 0),
    }
    return {**shown, "output": row["output"]} if with_output else shown


def _results(snapshot: Snapshot) -> dict[str, Any]:
    """Collect the outputs of the satellites that nothing depends on."""
    return {
        one["name"]: one["output"]
        for one in snapshot.satellites
        if not one["dependents"] and one["status"] == SatelliteStatus.COMPLETED
    }
