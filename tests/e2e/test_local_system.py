"""`run.py` as its user meets it: refusals before anything starts, interruptions, and the next start on a home."""

from __future__ import annotations

import json
import re
import signal
import time
import urllib.request
from typing import TYPE_CHECKING, Any

import pytest

from tests.processes import ROOT, Process, free_port, python
from tests.waiting import until

if TYPE_CHECKING:
    from pathlib import Path

START_WITHIN_S = 90.0
STOP_WITHIN_S = 30.0
IGNORING_SIGINT = ("sh", "-c", 'trap "" INT; exec "$@"', "sh")
"""A program under this inherits an ignored SIGINT, as under `nohup` and from `command &` in a script."""


def environment(home: Path, **more: str) -> dict[str, str]:
    return {
        "EXOSPHERE_HOME": str(home),
        "PORT": str(free_port()),
        "SATELLITE_MODULES": "tests.satellites",
        "DATABASE_URI": "",
        "REDIS_URI": "",
        **more,
    }


def run_py(*arguments: str) -> list[str]:
    return python(str(ROOT / "run.py"), *arguments)


def gated(folder: Path) -> str:
    """Write a cluster whose first satellite runs until the file `gate` is there."""
    cluster = folder / "cluster.json"
    gate = {"name": "gate", "uses": "satellite/test/wait", "config": {"file": str(folder / "gate")}}
    behind = {"name": "behind", "uses": "satellite/exospherehost/echo", "dependencies": ["gate"]}
    cluster.write_text(json.dumps({"identifier": "test/run", "satellites": [gate, behind]}))
    return str(cluster)


def last_line(process: Process) -> str:
    return process.output.splitlines()[-1]


def get(port: str, path: str) -> Any:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=60) as response:
        return json.load(response)


def satellite(port: str, execution_id: str, name: str) -> Any:
    satellites = get(port, f"/executions/{execution_id}")["satellites"]
    return next(one for one in satellites if one["name"] == name)


def test_unusable_cluster_is_refused_before_anything_starts(tmp_path: Path) -> None:
    (tmp_path / "broken.yaml").write_text("identifier: a/b\nsatellites: [")
    with Process(run_py(str(tmp_path / "broken.yaml")), environment(tmp_path / "home")) as refused:
        assert refused.wait() == 2
        assert re.fullmatch(r"\S+broken.yaml is not a cluster: line \d+, column \d+: .*\n", refused.output)
    assert not (tmp_path / "home").exists()


@pytest.mark.parametrize("missing", ["REDIS_URI", "DATABASE_URI"])
def test_unreachable_server_is_named_within_seconds(
    missing: str, database_uri: str, redis_uri: str, tmp_path: Path
) -> None:
    nobody = {"REDIS_URI": "redis://:hunter2@{}", "DATABASE_URI": "postgresql://user:hunter2@{}"}[missing]
    uris = {"REDIS_URI": redis_uri, "DATABASE_URI": database_uri, missing: nobody.format(f"127.0.0.1:{free_port()}/0")}
    with Process(run_py(), environment(tmp_path, **uris)) as refused:
        assert refused.wait() == 1
        last = last_line(refused)
    assert last.startswith(f"{missing} {nobody.replace('hunter2', '***').partition('{')[0]}")
    assert "does not answer" in last
    assert "hunter2" not in last


def test_worker_that_cannot_import_its_module_stops_the_start_at_once(
    database_uri: str, redis_uri: str, tmp_path: Path
) -> None:
    uris = {"REDIS_URI": redis_uri, "DATABASE_URI": database_uri}
    with Process(run_py(), environment(tmp_path, SATELLITE_MODULES="no_such_module", **uris)) as refused:
        assert refused.wait(START_WITHIN_S) == 2
        assert "restarted" not in refused.output
        said = last_line(refused)
    reason = "SATELLITE_MODULES: cannot import no_such_module: ModuleNotFoundError: No module named 'no_such_module'"
    assert said == f"worker: cannot start this worker: {reason}"


def test_interrupted_and_killed_runs_are_told_of_and_go_on_at_the_next_start(folder: Path) -> None:
    home = environment(folder / "home")
    with Process([*IGNORING_SIGINT, *run_py(gated(folder))], home) as interrupted:
        until(lambda: "gate  started" in interrupted.output, within_s=START_WITHIN_S, what="the cluster runs")
        interrupted.send(signal.SIGINT)
        until(lambda: "stopping; " in interrupted.output, what="the signal is noticed")
        began = time.monotonic()
        assert interrupted.wait(STOP_WITHIN_S) == 1
        stopped_within_s = time.monotonic() - began
        kept = re.search(r"execution (\S+) is kept, and goes on with the next `EXOSPHERE_HOME=", interrupted.output)
    assert kept is not None
    assert stopped_within_s < STOP_WITHIN_S
    told = f"1 unfinished execution of an earlier run goes on now: {kept[1]}"

    with Process(run_py(), home) as killed:
        until(lambda: "ready on " in killed.output, within_s=START_WITHIN_S, what="it is ready")
        assert told in killed.output
        gate = until(
            lambda: (one := satellite(home["PORT"], kept[1], "gate"))["status"] == "running" and one,
            what="what was interrupted runs again",
        )
        assert gate["attempt"] == 1, "the interruption was charged"
        killed.send(signal.SIGKILL)
        killed.wait()

    with Process(run_py(), home) as serving:
        until(lambda: "ready on " in serving.output, within_s=START_WITHIN_S, what="it is ready again")
        assert told in serving.output
        (folder / "gate").touch()
        final = until(
            lambda: (one := get(home["PORT"], f"/executions/{kept[1]}"))["status"] == "completed" and one,
            what="the execution completes",
        )
        assert {one["status"] for one in final["satellites"]} == {"completed"}
        serving.send(signal.SIGTERM)
        assert serving.wait(STOP_WITHIN_S) == 0
