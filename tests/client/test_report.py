"""Reports for people: readable, and of bounded length however large the execution is."""

from __future__ import annotations

import json
from typing import Any

from exospherehost.command.report import execution_details, report, satellite_details
from exospherehost.state_manager import Execution, Satellite
from tests.client.scripted_server import EXECUTION, execution

TRACEBACK = 'Traceback (most recent call last):\n  File "a.py", line 1\nValueError: \x1b[31mno\n'


def satellite(name: str, status: str = "completed", **fields: Any) -> dict[str, Any]:
    return {
        "satellite_id": f"id-of-{name}",
        "name": name,
        "status": status,
        "attempt": 1,
        "duration_ms": 12.0,
        "error": None,
        "reason": None,
        **fields,
    }


def ended(status: str, *satellites: dict[str, Any], **fields: Any) -> Execution:
    counts = {f"{one}_satellites": 0 for one in ("completed", "failed", "skipped", "cancelled")}
    for one in satellites:
        counts[f"{one['status']}_satellites"] += 1
    defaults = {
        "cluster_id": "p/n",
        "created_at": "2026-11-24T05:00:00Z",
        "started_at": "2026-11-24T05:00:00Z",
        "finished_at": "2026-11-24T05:00:02.5Z",
        "deadline": "2026-11-25T05:00:00Z",
        "sla": "24h",
        "output_omitted": False,
        "satellites": list(satellites),
        "progress": {"total_satellites": len(satellites), **counts},
    }
    return Execution(execution(status, **{**defaults, **fields}))


def test_report_gives_the_duration_the_counts_and_the_results_as_json() -> None:
    first, *results = report(ended("completed", satellite("a"), results={"a": {"n": 1}})).splitlines()

    assert first == f"{EXECUTION} completed in 2.500 s: 1 of 1 satellites completed"
    assert json.loads("\n".join(results)) == {"a": {"n": 1}}


def test_report_names_what_failed_and_how_to_read_its_logs() -> None:
    failed = satellite("a", "failed", error="ValueError: \x1b[31mno\nno")
    lines = report(ended("failed", failed, satellite("b", "skipped"), error="past its time")).splitlines()

    assert lines == [
        f"{EXECUTION} failed in 2.500 s: 0 of 2 satellites completed, 1 failed, 1 skipped",
        "  past its time",
        "  a: ValueError:  [31mno no (exosphere logs id-of-a)",
    ]


def test_reports_are_short_however_large_the_execution_is() -> None:
    failed = [satellite(f"f{at}", "failed", error="x" * 100_000) for at in range(1000)]
    results = {f"r{at}": {"text": "y" * 10_000} for at in range(1000)}
    large = ended("failed", *failed, results=results)

    for text in (report(large), execution_details(large)):
        assert len(text) < 10_000
        assert "… and 980 more" in text
        assert f"exosphere show {EXECUTION} --json" in text


def test_results_that_are_not_an_object_each_are_cut_too() -> None:
    text = report(ended("completed", satellite("a"), results={"a": ["z" * 10_000]}))

    assert len(text) < 500
    assert '  a: ["zzz' in text
    assert "characters in all: exosphere show" in text


def test_results_that_the_api_left_out_are_mentioned() -> None:
    assert "more than 1 MiB" in report(ended("completed", satellite("a"), results={}, output_omitted=True))


def test_details_list_the_satellites_that_need_attention_first() -> None:
    shown = execution_details(
        ended(
            "failed",
            satellite("good"),
            satellite("behind", "skipped", attempt=0, duration_ms=None, reason="upstream"),
            satellite("bad", "failed", attempt=3, error="ValueError: no"),
        )
    )

    assert shown.splitlines()[-3:] == [
        "  bad     failed     0.012 s  attempt 3  ValueError: no",
        "  behind  skipped                        because of upstream",
        "  good    completed  0.012 s",
    ]
    assert "  cluster      p/n" in shown


def test_satellite_is_shown_with_its_input_output_and_traceback() -> None:
    fields = {
        "execution_id": EXECUTION,
        "identifier": "satellite/p/n",
        "max_attempts": 3,
        "start_time": "2026-11-24T05:00:00Z",
        "end_time": None,
        "not_before": None,
        "error_kind": "logic_error",
        "config": {"path": "/"},
        "input": {},
        "output": ["y" * 10_000],
        "traceback": TRACEBACK,
    }
    text = satellite_details(Satellite(satellite("a", "failed", error="ValueError: no", **fields)))

    first, *rest = text.splitlines()
    assert first == "id-of-a a failed in 0.012 s"
    assert "  attempts     1 of at most 3" in rest
    assert "  error        ValueError: no (logic_error)" in rest
    assert '  "path": "/"' in rest
    assert "input:" not in rest
    assert "exosphere show id-of-a --json" in text
    assert rest[-1] == "ValueError:  [31mno"
    assert len(text) < 1000
