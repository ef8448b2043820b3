"""The client against a whole system."""

from __future__ import annotations

import asyncio
import json
import signal
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pytest

from exospherehost.state_manager import (
    Conflict,
    InvalidCluster,
    InvalidRequest,
    NotFound,
    StateManagerClient,
    Unavailable,
)
from tests.processes import free_port
from tests.system import fresh_system
from tests.waiting import until

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path

    from exospherehost.state_manager import Update
    from tests.system import System

ECHO = "satellite/exospherehost/echo"
SECOND = {"name": "b", "uses": ECHO, "config": {"say": "b"}, "dependencies": ["a"]}


def cluster(*satellites: dict[str, Any], identifier: str = "test/client") -> dict[str, Any]:
    return {"identifier": identifier, "satellites": list(satellites or ({"name": "a", "uses": ECHO}, SECOND))}


def with_client(use: Callable[[StateManagerClient], Awaitable[Any]]) -> Any:
    async def run() -> Any:
        async with StateManagerClient() as client:
            return await use(client)

    return asyncio.run(run())


SUBMISSION = """
from exospherehost.state_manager import StateManagerClient

client = StateManagerClient(uri="http://localhost:8001")

cluster_config = {
    "identifier": "my-project/data-processing",
    "sla": "6h",
    "satellites": [
        {
            "name": "data-ingestion",
            "uses": "satellite/exospherehost/get-files-from-s3",
            "config": {"bucket": "my-data-bucket"}
        },
        {
            "name": "data-processing",
            "uses": "satellite/exospherehost/parse-pdf-with-docling",
            "dependencies": ["data-ingestion"]
        }
    ]
}

execution_id = await client.submit_cluster(cluster_config)
"""

MONITORING = """
async def monitor_execution(execution_id):
    async with client.watch_execution(execution_id) as stream:
        async for update in stream:
            print(f"Status: {update.status}")
            print(f"Progress: {update.progress}%")
            if update.status == "completed":
                print(f"Results: {update.results}")
                break
"""


def test_code_that_users_already_have_runs(system: System, uri: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Unchanged, but for the port and for satellites that are not built in yet."""
    submission = SUBMISSION.replace("http://localhost:8001", uri)
    for name in ("get-files-from-s3", "parse-pdf-with-docling"):
        submission = submission.replace(name, "echo")
    body = "".join(f"    {line}\n" for line in (submission + MONITORING).splitlines())
    names: dict[str, Any] = {}
    exec(f"async def example():\n{body}    await monitor_execution(execution_id)\n    return client", names)  # noqa: S102

    async def run() -> None:
        await (await names["example"]()).aclose()

    asyncio.run(run())

    printed = capsys.readouterr().out.splitlines()
    assert printed[-3:-1] == ["Status: completed", "Progress: 100.0%"]
    assert printed[-1].startswith("Results: {'data-processing': ")


def test_client_outlives_its_event_loop(uri: str) -> None:
    client = StateManagerClient()
    execution_id = asyncio.run(client.submit_cluster(cluster()))
    assert asyncio.run(client.wait(execution_id, timeout=60)).status == "completed"
    assert asyncio.run(client.get_execution(execution_id)).results["b"]["config"] == {"say": "b"}
    asyncio.run(client.aclose())


def test_documents_are_dictionaries_with_attributes(uri: str) -> None:
    async def use(client: StateManagerClient) -> None:
        execution = await client.wait(await client.submit_cluster(cluster()))
        assert execution.status == execution["status"] == "completed"
        assert execution.progress["percent"] == 100
        assert [one.name for one in execution.satellites] == ["a", "b"]
        assert json.loads(json.dumps(execution)) == execution
        satellite = await client.get_satellite(execution.satellite("b").satellite_id)
        assert satellite.input == {"a": {"config": {}, "input": {}}}
        with pytest.raises(AttributeError, match="Satellite has no 'colour'"):
            _ = satellite.colour
        with pytest.raises(KeyError):
            execution.satellite("c")

    with_client(use)


def test_cluster_is_a_dictionary_a_text_bytes_or_a_file(uri: str, tmp_path: Path) -> None:
    yaml = "identifier: test/client\nsatellites: [{name: a, uses: satellite/exospherehost/echo}]\n"
    as_json = json.dumps(cluster())
    (tmp_path / "cluster.yaml").write_text(yaml)
    (tmp_path / "cluster.json").write_text(as_json)

    async def use(client: StateManagerClient) -> None:
        for form in (cluster(), yaml, as_json, yaml.encode(), tmp_path / "cluster.yaml", tmp_path / "cluster.json"):
            assert await client.submit_cluster(form)

    with_client(use)


def test_key_makes_a_submission_count_once(uri: str) -> None:
    async def use(client: StateManagerClient) -> None:
        key = str(uuid4())
        first = await client.submit_cluster(cluster(), idempotency_key=key)
        assert await client.submit_cluster(cluster(), idempotency_key=key) == first
        with pytest.raises(Conflict):
            await client.submit_cluster(cluster(SECOND | {"dependencies": []}), idempotency_key=key)
        assert await client.submit_cluster(cluster()) != await client.submit_cluster(cluster())

    with_client(use)


def test_refused_cluster_names_every_fault_with_its_path(uri: str) -> None:
    async def use(client: StateManagerClient) -> None:
        with pytest.raises(InvalidCluster) as error:
            await client.submit_cluster(cluster({"name": "a", "uses": "satellite/no/such"}, {"name": "a", "colour": 1}))
        assert {fault.path for fault in error.value.faults} >= {
            "satellites[0].uses", "satellites[1].uses", "satellites[1].colour",
        }  # fmt: skip
        assert "satellites[1].colour: unknown field" in str(error.value)
        with pytest.raises(InvalidCluster):
            await client.submit_cluster("{no: [document")

    with_client(use)


def test_unknown_ids_and_bad_queries_have_their_errors(uri: str) -> None:
    async def use(client: StateManagerClient) -> None:
        for call in (
            client.get_execution(uuid4()),
            client.get_execution("no/uuid"),
            client.cancel_execution(uuid4()),
            client.retry_execution(uuid4()),
            client.get_satellite(uuid4()),
            client.retry_satellite(uuid4()),
            client.wait(uuid4()),
            client.wait("no/uuid"),
        ):
            with pytest.raises(NotFound):
                await call
        with pytest.raises(NotFound):
            await client.logs(uuid4())
        with pytest.raises(InvalidRequest) as error:
            await client.list_executions(status="happy")  # type: ignore[arg-type]
        assert error.value.faults[0].path == "status"

    with_client(use)


def test_executions_are_listed_page_by_page(uri: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("exospherehost.state_manager.pages.PAGE_SIZE", 2)

    async def use(client: StateManagerClient) -> None:
        began = datetime.now(UTC)
        ids = [await client.submit_cluster(cluster(identifier="listed/here")) for _ in range(5)]
        for one in ids:
            await client.wait(one)

        listed = [one.execution_id async for one in client.list_executions(project="listed", created_after=began)]
        assert listed == ids[::-1]
        assert [one.execution_id for one in await client.list_executions(project="listed", limit=3)] == ids[:1:-1]
        assert await client.list_executions(project="listed", limit=0) == []
        assert await client.list_executions(project="listed", status="failed") == []
        assert await client.list_executions(cluster_id="listed/here", created_before=began) == []
        assert len(await client.list_executions(cluster_id="listed/here", status="completed")) == 5

    with_client(use)


def test_logs_are_read_page_by_page(uri: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("exospherehost.state_manager.pages.PAGE_SIZE", 2)

    async def use(client: StateManagerClient) -> list[str]:
        execution = await client.wait(
            await client.submit_cluster(cluster({"name": "t", "uses": "satellite/test/talk"}))
        )
        return [line.message for line in await client.logs(execution.satellite("t").satellite_id)]

    assert with_client(use) == [
        "a debug line",
        "an info line about 3 things",
        "a warning with a NUL \\x00 in it",
        "a library's line",
        "a printed line",
    ]


def test_failed_execution_is_retried_and_a_running_one_cancelled(uri: str, tmp_path: Path) -> None:
    note = {"name": "n", "uses": "satellite/test/note", "retries": 0}
    config = {"file": str(tmp_path / "notes"), "needs": str(tmp_path / "needed")}

    async def use(client: StateManagerClient) -> None:
        execution_id = await client.submit_cluster(cluster(note | {"config": config}))
        failed = await client.wait(execution_id)
        assert failed.status == "failed"
        with pytest.raises(Conflict):
            await client.cancel_execution(execution_id)
        assert (await client.retry_satellite(failed.satellites[0].satellite_id)).name == "n"
        assert (await client.wait(execution_id)).status == "failed"
        (tmp_path / "needed").touch()
        assert (await client.retry_execution(execution_id)).status in {"running", "completed"}
        assert (await client.wait(execution_id)).status == "completed"
        with pytest.raises(Conflict):
            await client.retry_execution(execution_id)

        slow = await client.submit_cluster(cluster({"name": "s", "uses": "satellite/test/stubborn"}))
        async with client.watch_execution(slow) as updates:
            seen: list[Update] = []
            async for update in updates:
                if not seen:
                    assert (await client.cancel_execution(slow)).status == "cancelled"
                    assert (await client.cancel_execution(slow)).status == "cancelled"
                seen.append(update)
        assert (seen[-1].status, seen[-1].progress, seen[-1].results) == ("cancelled", 100, {})

    with_client(use)


def test_watch_from_the_start_has_every_event(uri: str) -> None:
    async def use(client: StateManagerClient) -> None:
        execution_id = await client.submit_cluster(cluster())
        for _ in range(2):
            async with client.watch_execution(execution_id, from_the_start=True) as updates:
                seen = [update async for update in updates]
            assert [update.seq for update in seen] == list(range(1, 8))
            assert [update.kind for update in seen if update.satellite is None] == ["submitted", "started", "completed"]
            assert [update.status for update in seen] == ["pending", *["running"] * 5, "completed"]

    with_client(use)


def test_progress_of_a_satellite_reaches_the_watcher(uri: str, tmp_path: Path) -> None:
    config = {"begins": str(tmp_path / "begins"), "ends": str(tmp_path / "ends")}

    async def use(client: StateManagerClient) -> None:
        execution_id = await client.submit_cluster(
            cluster({"name": "s", "uses": "satellite/test/step", "config": config})
        )
        last = ""
        async with client.watch_execution(execution_id) as updates:
            async for update in updates:
                (tmp_path / "begins").touch()
                if update.kind == "progress" and update.satellite is not None:
                    last = update.satellite.message or ""
                    assert update.satellite.progress == int(last.split()[1]) / 1000
                    if last == "step 1000 of 1000":
                        (tmp_path / "ends").touch()
        assert last == "step 1000 of 1000"

    with_client(use)


def test_server_that_is_not_there_is_named_once_retrying_has_ended() -> None:
    async def ask() -> None:
        async with StateManagerClient(f"http://127.0.0.1:{free_port()}", retry_for_s=0.3) as client:
            await client.get_execution(uuid4())

    with pytest.raises(Unavailable, match="cannot be reached"):
        asyncio.run(ask())


def test_uri_must_be_one_of_http() -> None:
    with pytest.raises(ValueError, match="http://"):
        StateManagerClient("localhost:8001")


def test_submitting_watching_and_asking_go_on_over_restarts_of_the_api(
    postgres: str, template: str, tmp_path: Path
) -> None:
    gates = [tmp_path / f"gate-{at}" for at in range(3)]
    satellites = [
        {"name": f"s{at}", "uses": "satellite/test/wait", "config": {"file": str(gate)}}
        | ({"dependencies": [f"s{at - 1}"]} if at else {})
        for at, gate in enumerate(gates)
    ]
    with fresh_system(postgres, template) as system:
        system.start_worker()
        system.start_beat()
        apis = [system.start_api()]

        async def use() -> list[Update]:
            async with StateManagerClient(f"http://127.0.0.1:{system.port}") as client:
                execution_id = await client.submit_cluster(cluster(*satellites))
                seen: list[Update] = []
                async with client.watch_execution(execution_id) as updates:
                    async for update in updates:
                        seen.append(update)
                        started = update.satellite if update.kind == "started" else None
                        if started is not None and started.name == "s1":
                            gates[1].touch()
                            await asyncio.to_thread(kill)
                            late = asyncio.create_task(client.submit_cluster(cluster()))
                        elif started is not None and started.name == "s2":
                            apis[-1].send(signal.SIGTERM)
                            await asyncio.to_thread(apis[-1].wait)
                            gates[2].touch()
                            apis.append(await asyncio.to_thread(system.launch_api))
                        elif started is not None or update.kind == "snapshot":
                            gates[0].touch()
                assert (await client.wait(await late)).status == "completed"
                return seen

        def kill() -> None:
            apis[-1].kill_group()
            apis.append(system.launch_api())

        seen = asyncio.run(use())
        first, *rest = [update.seq for update in seen if update.kind != "progress"]
        assert rest == list(range(first + 1, 10))
        assert seen[-1].execution == until(lambda: system.execution(seen[-1].execution_id))
        assert seen[-1].status == "completed"
        assert seen[-1].progress == 100
