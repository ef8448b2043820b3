"""Watching an execution over a WebSocket, which is reopened after the last event whenever it breaks."""

from __future__ import annotations

import asyncio
import json
from collections import deque
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Literal
from urllib.parse import quote

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidStatus

from exospherehost.state_manager.errors import (
    UNAVAILABLE_STATUSES,
    InvalidRequest,
    NotFound,
    StateManagerError,
    Unauthorized,
    Unavailable,
    error_of_response,
    status_text,
)
from exospherehost.state_manager.execution_view import EventGap, ExecutionView
from exospherehost.state_manager.http import is_loopback
from exospherehost.state_manager.retrying import log, retry_while_unavailable

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping
    from types import TracebackType
    from typing import Self

    from exospherehost.state_manager.models import Execution
    from exospherehost.state_manager.updates import Update

OPEN_TIMEOUT_S = 10.0
CLOSE_TIMEOUT_S = 1.0
PING_INTERVAL_S = 15.0
PING_TIMEOUT_S = 60.0
"""The time in which a ping must be answered. Ample, for the answer comes behind whatever the server has sent before it:
a large snapshot takes long over a slow link. The server pings too, but the library does not show us when."""

SNAPSHOT_TIMEOUT_S = 20.0
STABLE_AFTER_S = 1.0
"""The conditions under which a connection succeeded, and ends the backoff: without `since` it must send its snapshot
within SNAPSHOT_TIMEOUT_S, or stay open so long; with it, stay open for STABLE_AFTER_S, since there may be no news.
A server that accepts connections and drops them at once is retried with backoff like one that is away."""

MAX_MESSAGE_BYTES = 256 * 1024 * 1024
"""A snapshot of 10,000 satellites is some 5 MB."""

FATAL_CLOSE_CODES: Mapping[int, type[StateManagerError]] = {
    4401: Unauthorized,
    4403: Unauthorized,
    4404: NotFound,
    4422: InvalidRequest,
}
"""Close codes after which reconnecting would not help."""


class Watch:
    """The updates of an execution, as an asynchronous iterator; also the context that owns the connection.

    `get_execution` reads the execution once it has ended. Each event comes once and in order.
    Raises NotFound and Unauthorized, and Unavailable after `retry_for_s` seconds without a connection;
    after that, iterating again goes on from the same event.
    """

    def __init__(
        self,
        uri: str,
        headers: Mapping[str, str],
        retry_for_s: float,
        view: ExecutionView,
        get_execution: Callable[[str], Awaitable[Execution]],
    ) -> None:
        scheme, _, rest = uri.partition("://")
        self._uri = f"{'wss' if scheme == 'https' else 'ws'}://{rest}/ws/executions/{quote(view.execution_id, safe='')}"
        self._headers = headers
        self._proxy: Literal[True] | None = None if is_loopback(uri) else True  # True: as the environment says
        self._retry_for_s = retry_for_s
        self._view = view
        self._get_execution = get_execution
        self._pending: deque[Update] = deque()
        self._connection: ClientConnection | None = None

    async def __aenter__(self) -> Self:
        """Return the watch; it connects when the first update is asked for."""
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close the connection."""
        await self._disconnect()

    def __aiter__(self) -> Self:
        """Return the watch: iterating again goes on after the last update."""
        return self

    async def __anext__(self) -> Update:
        """Wait for the next update."""
        while not self._pending:
            if self._view.is_finished:
                raise StopAsyncIteration
            if self._connection is None:
                await retry_while_unavailable(self._connect, self._retry_for_s)
            else:
                await self._receive_or_disconnect()
        # Removed only when complete, so that an update whose execution could not be read is given again.
        update = await self._complete(self._pending[0]) if self._pending[0].is_final else self._pending[0]
        self._pending.popleft()
        return update

    async def _complete(self, update: Update) -> Update:
        """Add the execution, read anew, to a final update.

        A failed execution may have been retried since a snapshot was taken: that snapshot is no end then.
        """
        await self._disconnect()
        execution = await self._get_execution(update.execution_id)
        if update.kind == "snapshot":
            return self._view.apply_snapshot(execution)
        return replace(update, execution=execution)

    async def _connect(self) -> None:
        """Open a connection, and wait until it counts as successful; raises StateManagerError."""
        since = "" if self._view.seq is None else f"?since={self._view.seq}"
        try:
            self._connection = await connect(
                f"{self._uri}{since}",
                additional_headers=self._headers,
                open_timeout=OPEN_TIMEOUT_S,
                close_timeout=CLOSE_TIMEOUT_S,
                ping_interval=PING_INTERVAL_S,
                ping_timeout=PING_TIMEOUT_S,
                compression=None,
                proxy=self._proxy,
                max_size=MAX_MESSAGE_BYTES,
            )
        except InvalidStatus as error:
            raise _error_of_handshake(self._uri, error) from None
        except (OSError, TimeoutError, InvalidHandshake) as error:
            raise Unavailable(f"{self._uri} cannot be reached: {error}", may_have_taken_effect=False) from None
        with suppress(TimeoutError):
            async with asyncio.timeout(SNAPSHOT_TIMEOUT_S if self._view.seq is None else STABLE_AFTER_S):
                await self._receive()

    async def _receive_or_disconnect(self) -> None:
        try:
            await self._receive()
        except Unavailable as error:
            log.info("%s; resuming after event %s", error, self._view.seq)

    async def _receive(self) -> None:
        """Receive and apply one message; closes the connection and raises Unavailable if it broke or skipped an event.

        Updates before a skipped event stay in the queue.
        """
        assert self._connection is not None  # noqa: S101  (for the type checker)
        try:
            message = await self._connection.recv()
            self._pending.extend(self._view.apply_message(json.loads(message)))
        except ConnectionClosed as closed:
            await self._disconnect()
            code = 1006 if closed.rcvd is None else closed.rcvd.code
            reason = "" if closed.rcvd is None else closed.rcvd.reason
            if code in FATAL_CLOSE_CODES:
                raise FATAL_CLOSE_CODES[code](reason) from None
            raise Unavailable(f"the connection to {self._uri} closed with {code} {reason}".rstrip()) from None
        except EventGap as gap:
            await self._disconnect()
            raise Unavailable(str(gap)) from None

    async def _disconnect(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            await connection.close()


def _error_of_handshake(uri: str, error: InvalidStatus) -> StateManagerError:
    """Return the exception for an HTTP response in place of a WebSocket."""
    status = error.response.status_code
    if status in UNAVAILABLE_STATUSES:
        return Unavailable(f"{uri} answered {status}")
    return error_of_response(status, {"message": f"{uri} answered {status_text(status)}"})
