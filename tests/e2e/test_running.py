"""The context of a satellite, what is recorded of its run, and the pools that can run it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.services import fresh_database
from tests.system import System, fresh_system
from tests.waiting import until

if TYPE_CHECKING:
    from pathlib import Path

ECHO = "satellite/exospherehost/echo"


def test_input_is_the_submitted_input_and_the_outputs_of_the_dependencies(system: System) -> None:
    execution = system.wait(
        system.submit(
            {"name": "a", "uses": ECHO, "config": {"say": "a"}},
            {"name": "b", "uses": ECHO, "input": {"own": [1, 2.5, None]}, "dependencies": ["a"]},
        )
    )

    b = system.satellite(execution["execution_id"], "b")
    assert b["input"] == {"own": [1, 2.5, None], "a": {"config": {"say": "a"}, "input": {}}}
    assert b["output"] == {"config": {}, "input": b["input"]}
    assert execution["results"] == {"b": b["output"]}


def test_logs_and_prints_are_captured(system: System) -> None:
    execution = system.wait(system.submit({"name": "talks", "uses": "satellite/test/talk"}))

    satellite = system.satellite(execution["execution_id"], "talks")
    _, logs = system.call("GET", f"/satellites/{satellite['satellite_id']}/logs")
    assert [(line["level"], line["message"]) for line in logs["items"]] == [
        ("debug", "a debug line"),
        ("info", "an info line about 3 things"),
        ("warning", "a warning with a NUL \\x00 in it"),
        ("info", "a library's line"),
        ("info", "a printed line"),
    ]


def test_resource_usage_is_that_of_the_satellite(system: System) -> None:
    execution = system.wait(
        system.submit(
            {"name": "burns", "uses": "satellite/test/burn", "config": {"cpu_s": 0.2, "mebibytes": 200}},
            {"name": "rests", "uses": "satellite/test/burn", "dependencies": ["burns"]},
        )
    )

    burns = system.satellite(execution["execution_id"], "burns")["resource_usage"]
    rests = system.satellite(execution["execution_id"], "rests")["resource_usage"]
    assert burns["cpu_time"] >= 0.2 > rests["cpu_time"]
    assert burns["memory_peak"] >= 200 * 1024 * 1024 > rests["memory_peak"]
    assert burns["gpu_time"] is None


@pytest.mark.parametrize("pool", ["threads", "solo", "prefork"])
def test_every_pool_runs_satellites_sync_and_async(postgres: str, template: str, pool: str) -> None:
    with fresh_system(postgres, template) as system:
        system.start_worker("-P", pool)
        system.start_api()

        execution = system.wait(
            system.submit(
                {"name": "a", "uses": "satellite/test/asynchronous"},
                {"name": "t", "uses": "satellite/test/talk"},
                {"name": "f", "uses": "satellite/test/fail", "retries": 0},
                *({"name": f"b{at}", "uses": ECHO, "dependencies": ["a"]} for at in range(10)),
                {"name": "c", "uses": "satellite/test/asynchronous", "dependencies": [f"b{at}" for at in range(10)]},
            )
        )

        statuses = system.statuses(execution["execution_id"])
        assert statuses.pop("f") == "failed"
        assert set(statuses.values()) == {"completed"}
        talk = system.satellite(execution["execution_id"], "t")
        _, logs = system.call("GET", f"/satellites/{talk['satellite_id']}/logs")
        assert [line["level"] for line in logs["items"]] == ["debug", "info", "warning", "info", "info"]


def test_satellite_with_a_queue_of_its_own_waits_for_a_worker_of_that_queue(postgres: str, template: str) -> None:
    with fresh_system(postgres, template) as system:
        system.start_worker("-Q", "satellites")
        system.start_api()
        execution_id = system.submit(
            {"name": "first", "uses": ECHO},
            {"name": "special", "uses": "satellite/test/special", "dependencies": ["first"]},
            {"name": "last", "uses": ECHO, "dependencies": ["special"]},
        )
        until(lambda: system.statuses(execution_id)["first"] == "completed")
        assert system.statuses(execution_id)["special"] == "pending"

        system.start_worker("-Q", "special")

        assert system.wait(execution_id)["status"] == "completed"


def test_worker_whose_module_cannot_be_imported_does_not_start_and_says_why(
    postgres: str, template: str, redis_uri: str, tmp_path: Path
) -> None:
    with fresh_database(postgres, template) as uri, System(uri, redis_uri) as system:
        (tmp_path / "broken_satellites.py").write_text("import no_such_package\n")
        worker = system.start(
            "-m", "celery", "-A", "workers", "worker", "-P", "solo",
            SATELLITE_MODULES="broken_satellites", PYTHONPATH=str(tmp_path),
        )  # fmt: skip

        assert worker.wait() != 0
        assert "SATELLITE_MODULES: cannot import broken_satellites" in worker.output
        assert "no_such_package" in worker.output


def test_installed_packages_bring_satellites_by_their_entry_point(postgres: str, template: str, tmp_path: Path) -> None:
    (tmp_path / "starlight.py").write_text(
        "from exospherehost import satellite\n"
        "@satellite('satellite/starlight/shine')\n"
        "def shine(context):\n"
        "    return 'bright'\n"
    )
    info = tmp_path / "starlight-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: starlight\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[exospherehost.satellites]\nstarlight = starlight\n")
    with fresh_system(postgres, template, PYTHONPATH=str(tmp_path)) as system:
        system.start_worker()
        system.start_api()

        execution = system.wait(system.submit({"name": "s", "uses": "satellite/starlight/shine"}))

        assert execution["results"] == {"s": "bright"}
