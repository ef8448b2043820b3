"""A server that follows a script: what it sends over each WebSocket in turn, how it closes it, its responses."""

from __future__ import annotations

import asyncio
import json
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

import httpx
from websockets.asyncio.server import Server, ServerConnection
from websockets.asyncio.server import serve as websockets_serve
from websockets.datastructures import Headers
from websockets.http11 import Request, Response

from exospherehost.state_manager import StateManagerClient

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from exospherehost.state_manager import Update

EXECUTION = "01a20bfb-3d4a-7246-ad8f-ae0a2db260b4"
TIMEOUT_S = 30.0
CUT = 0
"""In place of a close code: the connection breaks in the middle of a frame."""
HELD = -1
"""In place of a close code: the connection stays open until the client closes it."""


@dataclass
class ScriptedServer:
    """Serves `connections` in turn: messages, then a close code, `CUT` or `HELD`; or an HTTP status in their place.

    Later connections repeat the last one. Requests are answered with each of `earlier`, then always with `final`,
    and with each of `statuses`, then 200. `asked` holds the path and query of each connection, `headers` those of
    all requests; `closed_by_client` is set once a held connection was closed.
    """

    connections: list[tuple[list[dict[str, Any]], int] | int] = field(default_factory=list)
    final: Any = field(default_factory=lambda: execution("completed", completed=2))
    earlier: list[Any] = field(default_factory=list)
    statuses: list[int] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)
    headers: list[Headers] = field(default_factory=list)
    closed_by_client: asyncio.Event = field(default_factory=asyncio.Event)

    async def updates(self, **options: Any) -> list[Update]:
        """Watch the scripted execution to its end; fails instead of hanging."""
        async with (
            asyncio.timeout(TIMEOUT_S),
            self.serve() as uri,
            StateManagerClient(uri, **options) as client,
            client.watch_execution(EXECUTION) as stream,
        ):
            return [update async for update in stream]

    @asynccontextmanager
    async def serve(self) -> AsyncIterator[str]:
        """Serve the script, and yield the URI."""
        async with websockets_serve(
            self._handle, "127.0.0.1", 0, process_request=self._respond, close_timeout=1
        ) as server:
            yield f"http://127.0.0.1:{port_of(server)}"

    def _respond(self, _: ServerConnection, request: Request) -> Response | None:
        self.headers.append(request.headers)
        if not request.path.startswith("/ws/"):
            status = self.statuses.pop(0) if self.statuses else HTTPStatus.OK
            return respond(status, self.earlier.pop(0) if self.earlier else self.final)
        self.asked.append(request.path)
        turn = self._turn()
        return respond(turn, {}) if isinstance(turn, int) else None

    async def _handle(self, connection: ServerConnection) -> None:
        turn = self._turn()
        assert not isinstance(turn, int)
        messages, code = turn
        for message in messages:
            await connection.send(json.dumps(message))
        if code == CUT:
            connection.transport.write(b"\x81\x7e\x10\x00half")
            await asyncio.sleep(0)
            connection.transport.close()
        elif code == HELD:
            await connection.wait_closed()
            self.closed_by_client.set()
        else:
            await connection.close(code, "as written")

    def _turn(self) -> tuple[list[dict[str, Any]], int] | int:
        return self.connections[min(len(self.asked), len(self.connections)) - 1]


def respond(status: int, body: Any) -> Response:
    """Return a JSON response."""
    content = json.dumps(body).encode()
    headers = Headers({"Content-Type": "application/json", "Content-Length": str(len(content)), "Connection": "close"})
    return Response(status, httpx.codes.get_reason_phrase(status), headers, content)


def port_of(server: Server) -> int:
    """Return the port that the server listens on."""
    port: int = next(iter(server.sockets)).getsockname()[1]
    return port


def execution(status: str = "running", *, seq: int = 7, completed: int = 0, **fields: Any) -> dict[str, Any]:
    """Return an execution of two satellites, as the API does."""
    return {
        "execution_id": EXECUTION,
        "status": status,
        "seq": seq,
        "updated_at": "2026-11-24T05:15:44.331595Z",
        "error": None,
        "progress": {"total_satellites": 2, "completed_satellites": completed, "percent": 50.0 * completed},
        "satellites": [
            {"satellite_id": name, "name": name, "status": "pending", "attempt": 0, "start_time": None}
            for name in ("a", "b")
        ],
        "results": {"b": 2} if status == "completed" else {},
        **fields,
    }


def snapshot(seq: int = 2, status: str = "running", **fields: Any) -> dict[str, Any]:
    """Return a snapshot message."""
    return {"type": "snapshot", "seq": seq, "execution": execution(status, seq=seq, **fields)}


def event(seq: int, name: str | None, kind: str, status: str, progress: float = 0, **data: Any) -> dict[str, Any]:
    """Return the message of an event."""
    return {
        "type": "event",
        "seq": seq,
        "execution_id": EXECUTION,
        "satellite_id": name,
        "name": name,
        "kind": kind,
        "status": status,
        "at": "2026-11-24T05:15:45Z",
        "progress": progress,
        "data": data or None,
    }


def events(*several: dict[str, Any]) -> dict[str, Any]:
    """Return a message of several events."""
    return {"type": "events", "events": list(several)}


def progress(name: str, fraction: float, message: str = "", attempt: int = 1) -> dict[str, Any]:
    """Return a report of progress."""
    return {
        "type": "progress",
        "execution_id": EXECUTION,
        "satellite_id": name,
        "name": name,
        "attempt": attempt,
        "progress": fraction,
        "message": message,
        "at": "2026-11-24T05:15:45Z",
    }


STORY = [
    event(3, "a", "started", "running", 0, attempt=1),
    event(4, "a", "completed", "completed", 50, attempt=1),
    event(5, "b", "started", "running", 50, attempt=1),
    event(6, "b", "completed", "completed", 100, attempt=1),
    event(7, None, "completed", "completed", 100),
]
"""The events after the snapshot, to the end."""
