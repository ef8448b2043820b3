"""The client of the State Manager."""

from __future__ import annotations

import asyncio
import io
import json
import os
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote
from uuid import UUID, uuid4

from exospherehost.files import appearing
from exospherehost.state_manager.downloads import download
from exospherehost.state_manager.execution_logs import merge_logs
from exospherehost.state_manager.execution_view import ExecutionView
from exospherehost.state_manager.http import HttpClient
from exospherehost.state_manager.models import (
    FINISHED,
    Artifact,
    Execution,
    ExecutionStatus,
    LogLine,
    Satellite,
    Secret,
    Signal,
)
from exospherehost.state_manager.pages import Pages
from exospherehost.state_manager.watch import Watch

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping
    from datetime import datetime
    from os import PathLike
    from types import TracebackType
    from typing import Self

DEFAULT_URI = "http://127.0.0.1:8001"


class StateManagerClient:
    """A client of the State Manager at `uri`, by default `EXOSPHERE_STATE_MANAGER_URI`, else http://127.0.0.1:8001.

    `api_key`, by default `EXOSPHERE_API_KEY`, is sent with every request. While the server does not respond, or
    responds with 429, 502, 503 or 504, requests are retried with backoff for `retry_for_s` seconds; after that
    they raise Unavailable. Every error is a StateManagerError.

    Use it as `async with StateManagerClient() as client`, which keeps connections open, or without and call `aclose`.
    """

    def __init__(self, uri: str | None = None, api_key: str | None = None, *, retry_for_s: float = 30.0) -> None:
        self.uri = (uri or os.environ.get("EXOSPHERE_STATE_MANAGER_URI") or DEFAULT_URI).rstrip("/")
        if not self.uri.startswith(("http://", "https://")):
            raise ValueError(f"the State Manager's URI begins with http:// or https://, not {self.uri!r}")
        key = api_key or os.environ.get("EXOSPHERE_API_KEY")
        self._headers = {"Authorization": f"Bearer {key}"} if key else {}
        self._retry_for_s = retry_for_s
        self._http = HttpClient(self.uri, self._headers, retry_for_s)

    async def __aenter__(self) -> Self:
        """Keep connections open from now on."""
        self._http.open()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close the connections."""
        await self.aclose()

    async def aclose(self) -> None:
        """Close the connections."""
        await self._http.aclose()

    async def submit_cluster(
        self, cluster: Mapping[str, Any] | str | bytes | Path, *, idempotency_key: str | None = None
    ) -> str:
        """Submit a cluster, and return the execution's id.

        `cluster` is a dictionary, a JSON or YAML document, or the path of a file with one. Submitting the same document
        with the same `idempotency_key` (up to 255 printable characters) again returns the execution that exists.
        By default each call has a key of its own, so that its retries create one execution.
        Raises InvalidCluster with every fault and its path, and Conflict if the key was used with another document.
        """
        content, media_type = (
            await asyncio.to_thread(_read_file, cluster) if isinstance(cluster, Path) else _encode(cluster)
        )
        headers = {"Content-Type": media_type, "Idempotency-Key": idempotency_key or str(uuid4())}
        submitted = await self._http.request("POST", "/executions", content=content, headers=headers)
        return str(submitted["execution_id"])

    async def get_execution(self, execution_id: str | UUID) -> Execution:
        """Read an execution with its satellites and results. Raises NotFound."""
        return Execution(await self._http.request("GET", f"/executions/{_path_segment(execution_id)}"))

    def list_executions(
        self,
        *,
        project: str | None = None,
        cluster_id: str | None = None,
        status: ExecutionStatus | None = None,
        created_after: datetime | None = None,
        created_before: datetime | None = None,
        limit: int | None = None,
    ) -> Pages[Execution]:
        """List executions without their satellites, newest first: all of them, or at most `limit`.

        `async for execution in client.list_executions()` reads further pages as they are needed;
        `await client.list_executions(limit=10)` returns a list. `created_after` includes that time,
        `created_before` excludes it; both must have a time zone. Raises InvalidRequest.
        """
        filters = {
            "project": project,
            "cluster_id": cluster_id,
            "status": status,
            "created_after": created_after and created_after.isoformat(),
            "created_before": created_before and created_before.isoformat(),
        }
        query = {name: str(value) for name, value in filters.items() if value is not None}
        return Pages(self._http, "/executions", Execution, query, limit)

    async def cancel_execution(self, execution_id: str | UUID) -> Execution:
        """Cancel an execution: no further satellite starts, and running ones are interrupted. May be repeated.

        Raises NotFound, and Conflict if it has completed or failed.
        """
        return Execution(await self._http.request("DELETE", f"/executions/{_path_segment(execution_id)}"))

    async def retry_execution(self, execution_id: str | UUID) -> Execution:
        """Run the failed satellites of a failed execution again, and those skipped because of them.

        Raises NotFound, Conflict unless it has failed, and Unavailable if the response was lost: the execution may be
        running again then, so the request is not repeated. `get_execution` tells.
        """
        path = f"/executions/{_path_segment(execution_id)}/retry"
        return Execution(await self._http.request("POST", path, idempotent=False))

    async def get_satellite(self, satellite_id: str | UUID) -> Satellite:
        """Read a satellite with its configuration, input, output, error and resource usage. Raises NotFound."""
        return Satellite(await self._http.request("GET", f"/satellites/{_path_segment(satellite_id)}"))

    async def retry_satellite(self, satellite_id: str | UUID) -> Satellite:
        """Run a failed satellite again, also while its execution is still running. Raises as `retry_execution`."""
        path = f"/satellites/{_path_segment(satellite_id)}/retry"
        return Satellite(await self._http.request("POST", path, idempotent=False))

    def logs(self, satellite_id: str | UUID, *, limit: int | None = None) -> Pages[LogLine]:
        """Read what a satellite logged and printed in all attempts, oldest first; iterate as `list_executions`."""
        return Pages(self._http, f"/satellites/{_path_segment(satellite_id)}/logs", LogLine, {}, limit)

    async def execution_logs(self, execution_id: str | UUID) -> AsyncIterator[LogLine]:
        """Iterate over the log lines of an execution's satellites, merged by time; each has the satellite's `name`.

        Raises NotFound.
        """
        execution = await self.get_execution(execution_id)
        async for line in merge_logs(execution.satellites, self.logs):
            yield line

    async def set_secret(self, project: str, name: str, value: str) -> None:
        """Set a secret of a project, in place of one of the same name. Raises InvalidRequest.

        Raises Conflict where the State Manager has no master key to encrypt it with.
        """
        path = f"/projects/{_path_segment(project)}/secrets/{_path_segment(name)}"
        await self._http.request("PUT", path, json={"value": value})

    async def list_secrets(self, project: str) -> list[Secret]:
        """List the secrets of a project by name, without their values. Raises InvalidRequest."""
        found = await self._http.request("GET", f"/projects/{_path_segment(project)}/secrets")
        return [Secret(one) for one in found["items"]]

    async def delete_secret(self, project: str, name: str) -> None:
        """Delete a secret of a project. Raises NotFound, and Unavailable as `retry_execution`."""
        path = f"/projects/{_path_segment(project)}/secrets/{_path_segment(name)}"
        await self._http.request("DELETE", path, idempotent=False)

    async def signal(
        self, execution_id: str | UUID, name: str, payload: Any = None, *, idempotency_key: str | None = None
    ) -> Signal:
        """Send a signal with a JSON value to an execution, for a `wait-for-signal` satellite, and return it.

        By default each call has an idempotency key of its own, so that its retries send one signal.
        Raises InvalidRequest, NotFound, and Conflict where the execution has ended.
        """
        path = f"/executions/{_path_segment(execution_id)}/signals/{_path_segment(name)}"
        headers = {"Idempotency-Key": idempotency_key or str(uuid4())}
        return Signal(await self._http.request("POST", path, json={"payload": payload}, headers=headers))

    def list_artifacts(self, execution_id: str | UUID, *, limit: int | None = None) -> Pages[Artifact]:
        """List what satellites have kept, oldest first; iterate as `list_executions`. Raises NotFound."""
        return Pages(self._http, f"/executions/{_path_segment(execution_id)}/artifacts", Artifact, {}, limit)

    async def get_artifact(self, artifact: Mapping[str, Any] | str | UUID) -> bytes:
        """Read an artifact by its reference, or its id. Raises NotFound, and Gone where its bytes are missing."""
        buffer = io.BytesIO()
        await download(self._http, artifact, buffer)
        return buffer.getvalue()

    async def download_artifact(self, artifact: Mapping[str, Any] | str | UUID, path: str | PathLike[str]) -> Path:
        """Write an artifact to a file, which appears when all of it is there. Raises as `get_artifact`, and OSError."""
        with appearing(Path(path)) as file:
            await download(self._http, artifact, file)
        return Path(path)

    def watch_execution(self, execution_id: str | UUID, *, from_the_start: bool = False) -> Watch:
        """Watch an execution: enter it with `async with`, and iterate over its updates.

        The first update is a snapshot. Then each event comes once and in order, also when the server restarts,
        with the progress that satellites report in between. It ends after `completed`, `failed` or `cancelled`;
        this update has the results. With `from_the_start` there is no snapshot, but every event since the submission;
        this ends at the first end, even if the execution was retried after it.
        """
        view = ExecutionView(str(execution_id), seq=0 if from_the_start else None)
        return Watch(self.uri, self._headers, self._retry_for_s, view, self.get_execution)

    async def wait(self, execution_id: str | UUID, *, timeout: float | None = None) -> Execution:  # noqa: ASYNC109
        """Wait until an execution has ended, and return it; raises TimeoutError after `timeout` seconds.

        One that failed and was retried before it could be read is waited for further.
        """
        async with asyncio.timeout(timeout):
            while True:
                async with self.watch_execution(execution_id) as updates:
                    ends = [update.execution async for update in updates if update.is_final]
                if ends and ends[0] is not None and ends[0].status in FINISHED:
                    return ends[0]


def _path_segment(identifier: str | UUID) -> str:
    return quote(str(identifier), safe="")


def _read_file(path: Path) -> tuple[bytes, str]:
    return path.read_bytes(), "application/json" if path.suffix == ".json" else "application/yaml"


def _encode(cluster: Mapping[str, Any] | str | bytes) -> tuple[bytes, str]:
    """Encode a cluster, and return its media type: JSON if it parses as such, else YAML."""
    if not isinstance(cluster, str | bytes):
        return json.dumps(dict(cluster), allow_nan=False).encode(), "application/json"
    content = cluster.encode() if isinstance(cluster, str) else cluster
    with suppress(ValueError):
        json.loads(content)
        return content, "application/json"
    return content, "application/yaml"
