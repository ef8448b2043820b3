"""Reports of executions and satellites for people: of bounded length, with a note on where to read what was cut."""

from __future__ import annotations

import json
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from exospherehost.command.lines import printable

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from exospherehost.state_manager import Execution, Satellite

MAX_JSON_CHARS = 4000
"""JSON up to this length is shown indented and whole; longer results are shown as one cut line each."""

MAX_VALUE_CHARS = 100
MAX_ROWS = 20
"""The number of results, failed satellites, or other satellites that a report lists."""

ORDER = ("failed", "running", "pending", "cancelled", "skipped", "completed")
"""The order in which satellites are listed: those that need attention first."""


def report(execution: Execution) -> str:
    """Report how an execution ended: its state, the errors of failed satellites, and its results."""
    failed = [one for one in execution.satellites if one.status == "failed"]
    lines = [_headline(execution)]
    if execution.error:
        lines.append(f"  {_cut(execution.error)}")
    lines += [
        f"  {printable(one.name)}: {_cut(one.error or '')} (exosphere logs {one.satellite_id})"
        for one in failed[:MAX_ROWS]
    ]
    if len(failed) > MAX_ROWS:
        lines.append(f"  … and {len(failed) - MAX_ROWS} more failed: exosphere show {execution.execution_id} --json")
    return "\n".join([*lines, *_results(execution)])


def execution_details(execution: Execution) -> str:
    """Report an execution at any time: its fields, satellites and results."""
    fields = {
        "cluster": execution.cluster_id,
        "submitted": execution.created_at,
        "started": execution.started_at,
        "finished": execution.finished_at,
        "deadline": f"{execution.deadline} (sla {execution.sla})",
        "error": execution.error,
    }
    shown = sorted(execution.satellites, key=lambda one: ORDER.index(one.status))
    lines = [_headline(execution), *_fields(fields), "", *_table(shown[:MAX_ROWS])]
    if len(shown) > MAX_ROWS:
        lines.append(f"  … and {len(shown) - MAX_ROWS} more: exosphere show {execution.execution_id} --json")
    results = list(_results(execution))
    return "\n".join([*lines, *(["", "results:", *results] if results else [])])


def satellite_details(satellite: Satellite) -> str:
    """Report a satellite: its fields, configuration, input and output, and the traceback of its failure."""
    fields = {
        "execution": satellite.execution_id,
        "uses": satellite.identifier,
        "attempts": f"{satellite.attempt} of at most {satellite.max_attempts}",
        "started": satellite.start_time,
        "ended": satellite.end_time,
        "next attempt": satellite.not_before,
        "skipped for": satellite.reason,
        "error": satellite.error and f"{satellite.error} ({satellite.error_kind})",
    }
    lines = [f"{satellite.satellite_id} {printable(satellite.name)} {satellite.status}{_took(satellite.duration_ms)}"]
    lines += _fields(fields)
    for part in ("config", "input", "output"):
        if satellite[part]:
            lines += ["", f"{part}:", *_json(satellite[part], f"exosphere show {satellite.satellite_id} --json")]
    if satellite.traceback:
        lines += ["", *(printable(line) for line in satellite.traceback.rstrip().splitlines())]
    return "\n".join(lines)


def _headline(execution: Execution) -> str:
    progress = execution.progress
    counts = [f"{progress['completed_satellites']} of {progress['total_satellites']} satellites completed"]
    counts += [
        f"{progress[f'{state}_satellites']} {state}"
        for state in ("failed", "skipped", "cancelled")
        if progress[f"{state}_satellites"]
    ]
    return f"{execution.execution_id} {execution.status}{_took(_duration_ms(execution))}: {', '.join(counts)}"


def _fields(fields: Mapping[str, str | None]) -> Iterator[str]:
    for name, value in fields.items():
        if value is not None:
            yield f"  {name:12} {_cut(value)}"


def _table(satellites: list[Satellite]) -> Iterator[str]:
    rows = [
        (
            printable(one.name),
            one.status,
            "" if one.duration_ms is None else f"{one.duration_ms / 1000:.3f} s",
            f"attempt {one.attempt}" if one.attempt > 1 else "",
            _cut(one.error or (one.reason and f"because of {one.reason}") or ""),
        )
        for one in satellites
    ]
    shown = [column for column in zip(*rows, strict=True) if any(column)]
    widths = [max(len(cell) for cell in column) for column in shown]
    for cells in zip(*shown, strict=True):
        yield "  " + "  ".join(f"{cell:{width}}" for cell, width in zip(cells, widths, strict=True)).rstrip()


def _results(execution: Execution) -> Iterator[str]:
    if execution.output_omitted:
        yield "  the outputs are more than 1 MiB together and left out: exosphere show SATELLITE has each"
    elif execution.results:
        yield from _json(execution.results, f"exosphere show {execution.execution_id} --json")


def _json(value: Any, whole: str) -> Iterator[str]:
    """Format a value as indented JSON, or, if that is too long, cut; `whole` is the command that prints all of it."""
    text = json.dumps(value, indent=2, ensure_ascii=False)
    if len(text) <= MAX_JSON_CHARS:
        yield from (printable(line) for line in text.splitlines())
        return
    members = list(value.items()) if isinstance(value, dict) else [("", value)]
    for name, member in members[:MAX_ROWS]:
        yield f"  {printable(name)}: {_cut(json.dumps(member, ensure_ascii=False))}".replace("  : ", "  ")
    yield f"  … {len(text):,} characters in all: {whole}"


def _cut(text: str) -> str:
    shown = printable(text)
    return shown if len(shown) <= MAX_VALUE_CHARS else f"{shown[: MAX_VALUE_CHARS - 1]}…"


def _duration_ms(execution: Execution) -> float | None:
    if not (execution.started_at and execution.finished_at):
        return None
    duration = datetime.fromisoformat(execution.finished_at) - datetime.fromisoformat(execution.started_at)
    return duration / timedelta(milliseconds=1)


def _took(duration_ms: float | None) -> str:
    return "" if duration_ms is None else f" in {duration_ms / 1000:.3f} s"
