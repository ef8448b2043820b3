"""Watching an execution: a WebSocket that is opened again, from where it broke, until the last event is here."""

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

from exospherehost.state_manager.calls import is_loopback
from exospherehost.state_manager.errors import (
    AWAY,
    InvalidRequest,
    NotFound,
    StateManagerError,
    Unauthorized,
    Unavailable,
    error_of,
    said,
)
from exospherehost.state_manager.patience import log, patiently
from exospherehost.state_manager.picture import Gap, Picture

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping
    from types import TracebackType
    from typing import Self

    from exospherehost.state_manager.documents import Execution
    from exospherehost.state_manager.updates import Update

OPEN_TIMEOUT_S = 10.0
PING_EVERY_S = 15.0
PONG_WITHIN_S = 60.0
"""A connection that does not answer a ping within this is given up: the server's own pings show us nothing.
Ample, for the answer comes behind whatever is on its way: a large snapshot takes long over a slow link."""

SHOWN_WITHIN_S = 20.0
LASTING_S = 1.0
"""A first connection is a good one when it brings something, which takes a large snapshot a while; one that resumes,
when it lasts so long: there may be no news. Any other has failed, and the next is not tried at once."""

LARGEST_MESSAGE = 256 * 1024 * 1024
"""Bytes; a snapshot of 10,000 satellites is some 5 MB."""

FATAL: Mapping[int, type[StateManagerError]] = {
    4401: Unauthorized,
    4403: Unauthorized,
    4404: NotFound,
    4422: InvalidRequest,
}
"""Close codes after which it is of no use to come back."""


class Watch:
    """An execution's updates, as an asynchronous iterator, and the context in which there is a connection.

    `get` reads the execution when it has ended. Each event comes once, in order. Raises NotFound, Unauthorized,
    and Unavailable where no connection came about for `patience_s`; then iterating may be tried again.
    """

    def __init__(
        self,
        uri: str,
        headers: Mapping[str, str],
        patience_s: float,
        picture: Picture,
        get: Callable[[str], Awaitable[Execution]],
    ) -> None:
        scheme, _, rest = uri.partition("://")
        self._uri = (
            f"{'wss' if scheme == 'https' else 'ws'}://{rest}/ws/executions/{quote(picture.execution_id, safe='')}"
        )
        self._headers = headers
        self._proxy: Literal[True] | None = None if is_loopback(uri) else True  # True: as the environment says
        self._patience_s = patience_s
        self._picture = picture
        self._get = get
        self._pending: deque[Update] = deque()
        self._connection: ClientConnection | None = None

    async def __aenter__(self) -> Self:
        """Nothing is opened before the first update is asked for."""
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close the connection."""
        await self._leave()

    def __aiter__(self) -> Self:
        """There is one iteration; it goes on where it was left."""
        return self

    async def __anext__(self) -> Update:
        """Wait for the next update."""
        while not self._pending:
            if self._picture.ended:
                raise StopAsyncIteration
            if self._connection is None:
                await patiently(self._connect, self._patience_s)
            else:
                await self._go_on()
        update = await self._finished(self._pending[0]) if self._pending[0].is_final else self._pending[0]
        self._pending.popleft()
        return update

    async def _finished(self, update: Update) -> Update:
        """Read what came of it; a snapshot that says so may be some moments old, and the execution retried since."""
        await self._leave()
        execution = await self._get(update.execution_id)
        return self._picture.see(execution) if update.kind == "snapshot" else replace(update, execution=execution)

    async def _go_on(self) -> None:
        try:
            await self._receive()
        except Unavailable as lost:
            log.info("%s; going on after event %s", lost, self._picture.seq)

    async def _connect(self) -> None:
        """Open a connection that either brings something or lasts; raises StateManagerError."""
        since = "" if self._picture.seq is None else f"?since={self._picture.seq}"
        try:
            self._connection = await connect(
                f"{self._uri}{since}",
                additional_headers=self._headers,
                open_timeout=OPEN_TIMEOUT_S,
                close_timeout=1.0,
                ping_interval=PING_EVERY_S,
                ping_timeout=PONG_WITHIN_S,
                compression=None,
                proxy=self._proxy,
                max_size=LARGEST_MESSAGE,
            )
        except InvalidStatus as refusal:
            raise _refused(self._uri, refusal) from None
        except (OSError, TimeoutError, InvalidHandshake) as error:
            raise Unavailable(f"{self._uri} cannot be reached: {error}", may_have_arrived=False) from None
        with suppress(TimeoutError):
            async with asyncio.timeout(SHOWN_WITHIN_S if self._picture.seq is None else LASTING_S):
                await self._receive()

    async def _receive(self) -> None:
        """Take one message; raises Unavailable, with the connection left, where it broke or an event is missing."""
        assert self._connection is not None  # noqa: S101  (for the type checker)
        try:
            message = await self._connection.recv()
            self._pending.extend(self._picture.read(json.loads(message)))
        except ConnectionClosed as closed:
            await self._leave()
            code = 1006 if closed.rcvd is None else closed.rcvd.code
            reason = "" if closed.rcvd is None else closed.rcvd.reason
            if code in FATAL:
                raise FATAL[code](reason) from None
            raise Unavailable(f"the connection to {self._uri} closed with {code} {reason}".rstrip()) from None
        except Gap as gap:
            await self._leave()
            raise Unavailable(str(gap)) from None

    async def _leave(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            await connection.close()


def _refused(uri: str, refusal: InvalidStatus) -> StateManagerError:
    """Say what an HTTP answer instead of a WebSocket means."""
    status = refusal.response.status_code
    if status in AWAY:
        return Unavailable(f"{uri} answered {status}")
    return error_of(status, {"message": f"{uri} answered {said(status)}"})
