"""Artifacts and shared values in a whole system: large ones, at the same time, and when processes are killed."""

from __future__ import annotations

import hashlib
import os
import signal
from typing import TYPE_CHECKING, Any

import httpx
import psutil

from tests.files.s3 import s3_server
from tests.satellites import Made
from tests.system import fresh_system
from tests.waiting import until

if TYPE_CHECKING:
    from pathlib import Path

    from tests.system import System

LARGE = 100 * 1024 * 1024
PROCESS_BYTES = 64 * 1024 * 1024
"""Memory that a process may take for an artifact, however large that is."""


def listed(system: System, execution_id: str) -> list[dict[str, Any]]:
    status, answer = system.call("GET", f"/executions/{execution_id}/artifacts")
    assert status == 200
    items: list[dict[str, Any]] = answer["items"]
    return items


def written(size: int) -> bytes:
    made = Made(size, lambda: None)
    return b"".join(iter(lambda: made.read(2**20 * 5), b""))


def download(system: System, artifact_id: str, **headers: str) -> httpx.Response:
    uri = f"http://127.0.0.1:{system.port}/artifacts/{artifact_id}"
    return httpx.get(uri, headers=headers, trust_env=False, timeout=60)


def test_large_artifact_passes_through_every_part_in_little_memory(system: System) -> None:
    before = api_bytes(system)
    execution_id = system.submit(
        {"name": "keep", "uses": "satellite/test/keep", "config": {"bytes": LARGE}},
        {"name": "digest", "uses": "satellite/test/digest", "dependencies": ["keep"]},
    )
    assert system.wait(execution_id)["status"] == "completed"
    (artifact,) = listed(system, execution_id)
    keep, digest = (system.satellite(execution_id, name) for name in ("keep", "digest"))
    assert keep["output"] == {name: artifact[name] for name in keep["output"]}
    assert digest["output"] == {"sha256": artifact["sha256"]}
    received = hashlib.sha256()
    uri = f"http://127.0.0.1:{system.port}/artifacts/{artifact['id']}"
    with httpx.stream("GET", uri, trust_env=False, timeout=60) as answer:
        for chunk in answer.iter_bytes():
            received.update(chunk)
    assert received.hexdigest() == artifact["sha256"] == hashlib.sha256(written(LARGE)).hexdigest()
    assert download(system, artifact["id"], Range="bytes=-3").content == b"def"
    assert api_bytes(system) - before < PROCESS_BYTES


def api_bytes(system: System) -> int:
    assert system.api is not None
    processes = [psutil.Process(system.api.pid), *psutil.Process(system.api.pid).children()]
    return max(int(one.memory_info().rss) for one in processes)


def test_worker_that_is_killed_in_an_upload_leaves_nothing_to_be_seen(system: System, tmp_path: Path) -> None:
    mark = tmp_path / "mark"
    execution_id = system.submit(
        {"name": "keep", "uses": "satellite/test/keep", "config": {"bytes": 20_000_000, "mark": str(mark)}}
    )
    pid = int(until(lambda: mark.exists() and mark.read_text(), what="the upload is under way"))
    assert listed(system, execution_id) == []
    os.kill(pid, signal.SIGKILL)
    assert system.wait(execution_id)["status"] == "completed"
    (artifact,) = listed(system, execution_id)
    assert artifact["attempt"] == 2
    assert download(system, artifact["id"]).content == written(20_000_000)


def test_counter_counts_every_satellite_of_a_front(system: System) -> None:
    execution_id = system.submit(*({"name": f"c{at}", "uses": "satellite/test/count"} for at in range(60)))
    results = system.wait(execution_id)["results"]
    assert sorted(one["number"] for one in results.values()) == list(range(1, 61))


def test_artifacts_in_an_object_store_are_shared_by_api_and_workers(postgres: str, template: str) -> None:
    with (
        s3_server() as server,
        fresh_system(postgres, template, ARTIFACTS_URI="s3://artifacts/ours", **server.variables) as system,
    ):
        server.put("artifacts", {})
        system.start_everything()
        execution_id = system.submit(
            {"name": "keep", "uses": "satellite/test/keep", "config": {"bytes": 12_000_000}},
            {"name": "digest", "uses": "satellite/test/digest", "dependencies": ["keep"]},
        )
        results = system.wait(execution_id)["results"]
        (artifact,) = listed(system, execution_id)
        assert results == {"digest": {"sha256": artifact["sha256"]}}
        assert download(system, artifact["id"]).content == written(12_000_000)
        server.client().delete_object(Bucket="artifacts", Key=f"ours/{execution_id}/{artifact['id']}")
        answer = download(system, artifact["id"])
        assert (answer.status_code, "are not at s3://artifacts/ours" in answer.json()["message"]) == (410, True)
