"""What came of an execution, for a person."""

from __future__ import annotations

import json
from datetime import datetime
from typing import TYPE_CHECKING

from exospherehost.command.lines import printable

if TYPE_CHECKING:
    from exospherehost.state_manager import Execution


def report(execution: Execution) -> str:
    """Write how it ended, why satellites failed, and the results as JSON."""
    progress = execution.progress
    counts = [f"{progress['completed_satellites']} of {progress['total_satellites']} satellites completed"]
    counts += [
        f"{progress[f'{state}_satellites']} {state}"
        for state in ("failed", "skipped", "cancelled")
        if progress[f"{state}_satellites"]
    ]
    lines = [f"{execution.execution_id} {execution.status}{_took(execution)}: {', '.join(counts)}"]
    if execution.error:
        lines.append(f"  {printable(execution.error)}")
    lines += [
        f"  {one.name}: {printable(one.error or '')} (exosphere logs {one.satellite_id})"
        for one in execution.satellites
        if one.status == "failed"
    ]
    if execution.output_omitted:
        lines.append("  the outputs are more than 1 MiB together: GET /satellites/ID has each")
    elif execution.results:
        lines.append(json.dumps(execution.results, indent=2, ensure_ascii=False))
    return "\n".join(lines)


def _took(execution: Execution) -> str:
    if not (execution.started_at and execution.finished_at):
        return ""
    took = datetime.fromisoformat(execution.finished_at) - datetime.fromisoformat(execution.started_at)
    return f" in {took.total_seconds():.3f} s"
