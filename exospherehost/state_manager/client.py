"""The client of the State Manager."""

from __future__ import annotations

import asyncio
import json
import os
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote
from uuid import UUID, uuid4

from exospherehost.state_manager.calls import Calls, Pages
from exospherehost.state_manager.documents import FINISHED, Execution, ExecutionStatus, LogLine, Satellite
from exospherehost.state_manager.picture import Picture
from exospherehost.state_manager.watching import Watch

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime
    from types import TracebackType
    from typing import Self

DEFAULT_URI = "http://127.0.0.1:8001"


class StateManagerClient:
    """A client of the State Manager at `uri`, by default `EXOSPHERE_STATE_MANAGER_URI`, else http://127.0.0.1:8001.

    `api_key`, by default `EXOSPHERE_API_KEY`, is sent with every request. While the server is away, or answers
    429, 502, 503 or 504, calls are made again for `patience_s` seconds; only then they raise Unavailable.
    All raise StateManagerError.

    It may be used as it is, closed by `aclose`, or as `async with StateManagerClient() as client`.
    """

    def __init__(self, uri: str | None = None, api_key: str | None = None, *, patience_s: float = 30.0) -> None:
        self.uri = (uri or os.environ.get("EXOSPHERE_STATE_MANAGER_URI") or DEFAULT_URI).rstrip("/")
        if not self.uri.startswith(("http://", "https://")):
            raise ValueError(f"the State Manager's URI begins with http:// or https://, not {self.uri!r}")
        key = api_key or os.environ.get("EXOSPHERE_API_KEY")
        self._headers = {"Authorization": f"Bearer {key}"} if key else {}
        self._patience_s = patience_s
        self._calls = Calls(self.uri, self._headers, patience_s)

    async def __aenter__(self) -> Self:
        """Keep connections from now on, until they are closed."""
        self._calls.open()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close its connections."""
        await self.aclose()

    async def aclose(self) -> None:
        """Close its connections."""
        await self._calls.aclose()

    async def submit_cluster(
        self, cluster: Mapping[str, Any] | str | bytes | Path, *, idempotency_key: str | None = None
    ) -> str:
        """Submit a cluster, and return the execution's id.

        It is a dictionary, a document as JSON or YAML, or the path of a file with one. With the same `idempotency_key`
        (up to 255 printable characters) and document, the execution that there is counts. Each call has a key of its
        own by default, so that what is sent again after a connection broke counts once.
        Raises InvalidCluster with every fault and its path, and Conflict where the key was used for another document.
        """
        content, media_type = (
            await asyncio.to_thread(_file, cluster) if isinstance(cluster, Path) else _document(cluster)
        )
        headers = {"Content-Type": media_type, "Idempotency-Key": idempotency_key or str(uuid4())}
        answer = await self._calls.ask("POST", "/executions", content=content, headers=headers)
        return str(answer["execution_id"])

    async def get_execution(self, execution_id: str | UUID) -> Execution:
        """Look at an execution, its satellites and results. Raises NotFound."""
        return Execution(await self._calls.ask("GET", f"/executions/{_segment(execution_id)}"))

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
        """List executions without their satellites, newest first: all that there are, or `limit` of them.

        `async for execution in client.list_executions()` reads further pages as they are needed;
        `await client.list_executions(limit=10)` gives a list. `created_after` counts from that time on,
        `created_before` up to it; both aware. Raises InvalidRequest.
        """
        wanted = {
            "project": project,
            "cluster_id": cluster_id,
            "status": status,
            "created_after": created_after and created_after.isoformat(),
            "created_before": created_before and created_before.isoformat(),
        }
        query = {name: str(value) for name, value in wanted.items() if value is not None}
        return Pages(self._calls, "/executions", Execution, query, limit)

    async def cancel_execution(self, execution_id: str | UUID) -> Execution:
        """Cancel an execution: nothing of it starts any more, what runs is interrupted; again, it does no harm.

        Raises NotFound, and Conflict where it has completed or failed.
        """
        return Execution(await self._calls.ask("DELETE", f"/executions/{_segment(execution_id)}"))

    async def retry_execution(self, execution_id: str | UUID) -> Execution:
        """Resume a failed execution from where it failed; what is done stays done.

        Raises NotFound, Conflict unless it failed, and Unavailable where the answer was lost: then look at the
        execution, for it may run again already.
        """
        path = f"/executions/{_segment(execution_id)}/retry"
        return Execution(await self._calls.ask("POST", path, repeatable=False))

    async def get_satellite(self, satellite_id: str | UUID) -> Satellite:
        """Look at a satellite in full: configuration, input, output, error, resource usage. Raises NotFound."""
        return Satellite(await self._calls.ask("GET", f"/satellites/{_segment(satellite_id)}"))

    async def retry_satellite(self, satellite_id: str | UUID) -> Satellite:
        """Try a failed satellite again, also while its execution still runs. Raises as `retry_execution`."""
        path = f"/satellites/{_segment(satellite_id)}/retry"
        return Satellite(await self._calls.ask("POST", path, repeatable=False))

    def logs(self, satellite_id: str | UUID, *, limit: int | None = None) -> Pages[LogLine]:
        """Read what a satellite logged and printed, of every attempt, oldest first; as `list_executions`."""
        return Pages(self._calls, f"/satellites/{_segment(satellite_id)}/logs", LogLine, {}, limit)

    def watch_execution(self, execution_id: str | UUID, *, from_the_start: bool = False) -> Watch:
        """Watch an execution: `async with` it, and iterate over its updates.

        The first shows how things are, then each event comes once and in order, also over restarts of the server,
        and between them what satellites say of their progress. It ends after `completed`, `failed` or `cancelled`,
        which brings the results. With `from_the_start` every event since the submission comes instead of how
        things are; that ends at the first end, even if the execution was retried since.
        """
        picture = Picture(str(execution_id), seq=0 if from_the_start else None)
        return Watch(self.uri, self._headers, self._patience_s, picture, self.get_execution)

    async def wait(self, execution_id: str | UUID, *, timeout: float | None = None) -> Execution:  # noqa: ASYNC109
        """Wait until an execution has ended, and return it; raises TimeoutError after that many seconds."""
        async with asyncio.timeout(timeout):
            while True:
                async with self.watch_execution(execution_id) as updates:
                    ends = [update.execution async for update in updates if update.is_final]
                if ends and ends[0] is not None and ends[0].status in FINISHED:
                    return ends[0]
                # It had failed, and was retried before we could read it.


def _segment(identifier: str | UUID) -> str:
    return quote(str(identifier), safe="")


def _file(path: Path) -> tuple[bytes, str]:
    return path.read_bytes(), "application/json" if path.suffix == ".json" else "application/yaml"


def _document(cluster: Mapping[str, Any] | str | bytes) -> tuple[bytes, str]:
    """Give a cluster as bytes, and their media type: JSON is called so, any other text is YAML."""
    if not isinstance(cluster, str | bytes):
        return json.dumps(dict(cluster), allow_nan=False).encode(), "application/json"
    content = cluster.encode() if isinstance(cluster, str) else cluster
    with suppress(ValueError):
        json.loads(content)
        return content, "application/json"
    return content, "application/yaml"
