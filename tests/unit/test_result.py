"""The result that `run.py CLUSTER` prints is short, and says what it leaves out."""

from __future__ import annotations

import json
from typing import Any

from exospherehost.state_manager import Execution
from local.result import FIELDS, MAX_SATELLITES_LISTED, as_json, short_result

ID = "01a20f52-a330-70b6-9e22-9ee09fca7383"


def execution(*failed: str, satellites: int = 3, output: int = 100, **results: Any) -> Execution:
    names = [f"satellite-of-a-long-name-{at}" for at in range(satellites)]
    return Execution(
        dict.fromkeys(FIELDS)
        | {
            "execution_id": ID,
            "status": "failed" if failed else "completed",
            "error": None,
            "progress": {
                "total_satellites": satellites + len(failed),
                "completed_satellites": satellites,
                "failed_satellites": len(failed),
                "skipped_satellites": 0,
                "cancelled_satellites": 0,
                "percent": 100,
            },
            "satellites": [
                {
                    "satellite_id": ID,
                    "name": name,
                    "identifier": "satellite/exospherehost/echo",
                    "status": "failed" if name in failed else "completed",
                    "reason": None,
                    "error": "it broke" if name in failed else None,
                    "error_kind": "logic_error" if name in failed else None,
                    "duration_ms": 12.345,
                    "output": {"text": "x" * output},
                }
                for name in (*names, *failed)
            ],
            "dependencies": {name: [] for name in names},
            "results": results,
            "output_omitted": False,
        }
    )


def printed(final: Execution) -> dict[str, Any]:
    result: dict[str, Any] = json.loads(as_json(short_result(final)))
    return result


def test_short_execution_is_printed_whole() -> None:
    small = execution("broken", last={"words": ["ä", 1]})
    assert printed(small) == small


def test_long_execution_keeps_how_it_and_each_satellite_ended() -> None:
    result = printed(execution("broken", satellites=1, output=10_000, last={"words": ["ä", 1]}))
    assert set(result) == {*FIELDS, "progress", "satellites", "results", "output_omitted"}
    assert result["satellites"] == [
        {"name": "satellite-of-a-long-name-0", "status": "completed", "duration_ms": 12.345},
        {
            "name": "broken",
            "status": "failed",
            "duration_ms": 12.345,
            "error_kind": "logic_error",
            "error": "it broke",
            "satellite_id": ID,
        },
    ]
    assert (result["results"], result["output_omitted"]) == ({"last": {"words": ["ä", 1]}}, False)


def test_of_many_satellites_those_that_did_not_complete_are_listed() -> None:
    result = printed(execution("broken", satellites=1_000))
    assert len(result["satellites"]) == MAX_SATELLITES_LISTED
    assert result["satellites"][0]["name"] == "broken"
    assert result["satellites_omitted"] == 1_001 - MAX_SATELLITES_LISTED
    assert "--full" in result["hint"]
    assert len(as_json(short_result(execution("broken", satellites=10_000)))) < 32 * 1024


def test_large_results_are_left_out_and_the_hint_says_where_they_are() -> None:
    large = execution(last="x" * 100_000)
    result = printed(large)
    assert (result["results"], result["output_omitted"]) == ({}, True)
    assert ID in result["hint"]
    assert len(as_json(result)) < 2_000


def test_execution_without_satellites_is_json_too() -> None:
    assert printed(execution(satellites=0))["satellites"] == []
