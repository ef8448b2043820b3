"""The final execution as JSON: complete where it is short, else without the large fields."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from exospherehost.state_manager import Execution, Satellite

MAX_CHARACTERS = 16 * 1024
"""Longest execution, as JSON, that is printed whole; and longest results that are printed of a longer one."""

MAX_SATELLITES_LISTED = 250
"""Satellites that are listed; of more, those that did not complete come first."""

FIELDS = ("execution_id", "cluster_id", "status", "error", "sla", "deadline", "created_at", "started_at", "finished_at")
HINT = "--full prints everything; with `python run.py` on this home, GET /executions/{} and GET /satellites/ID do too"


def short_result(execution: Execution) -> Mapping[str, Any]:
    """Return an execution as the API does, or, of one longer than `MAX_CHARACTERS`, how it and its satellites ended.

    Then its satellites have fewer fields. Where results or satellites are left out, `output_omitted` is true or
    `satellites_omitted` counts them, and `hint` says where they are.
    """
    if _length(execution) <= MAX_CHARACTERS:
        return execution
    listed = execution.satellites
    if len(listed) > MAX_SATELLITES_LISTED:
        listed = sorted(listed, key=lambda one: one.status == "completed")[:MAX_SATELLITES_LISTED]
    omitted = len(execution.satellites) - len(listed)
    too_large = _length(execution.results) > MAX_CHARACTERS
    short: dict[str, Any] = {name: execution[name] for name in FIELDS}
    short["progress"] = execution.progress
    short["satellites"] = [short_satellite(one) for one in listed]
    if omitted:
        short["satellites_omitted"] = omitted
    short["results"] = {} if too_large else execution.results
    short["output_omitted"] = execution.output_omitted or too_large
    if omitted or short["output_omitted"]:
        short["hint"] = HINT.format(execution.execution_id)
    return short


def short_satellite(satellite: Satellite) -> dict[str, Any]:
    """Return name, status and duration, and of one that did not complete also why, and its id."""
    short: dict[str, Any] = {name: satellite[name] for name in ("name", "status", "duration_ms")}
    if satellite.status != "completed":
        short |= {
            name: satellite[name] for name in ("error_kind", "error", "reason", "satellite_id") if satellite[name]
        }
    return short


def as_json(result: Mapping[str, Any]) -> str:
    """Write a result with a line for each field, and for each satellite."""
    return "{\n" + ",\n".join(f"  {json.dumps(name)}: {_value(name, value)}" for name, value in result.items()) + "\n}"


def _value(name: str, value: Any) -> str:
    if name == "satellites" and value:
        return "[\n" + ",\n".join(_lines(value)) + "\n  ]"
    return json.dumps(value, indent=2, ensure_ascii=False).replace("\n", "\n  ")


def _lines(values: Iterable[object]) -> Iterable[str]:
    return (f"    {json.dumps(one, ensure_ascii=False)}" for one in values)


def _length(value: object) -> int:
    return len(json.dumps(value, ensure_ascii=False))
