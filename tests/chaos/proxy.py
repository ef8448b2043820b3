"""A TCP proxy on the loopback, whose faults are switched while it runs and counted when they happen."""

from __future__ import annotations

import asyncio
import socket
import struct
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import partial
from threading import Thread
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Coroutine
    from typing import Self

CHUNK_BYTES = 64 * 1024
RST_WHEN_CLOSED = struct.pack("ii", 1, 0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Faults:
    """The faults of a proxy, for its old and new connections: none by default.

    `there_s` and `back_s` delay data, each way. `refuse` resets new connections. `black_hole` takes connections and
    data, and passes nothing on, not even that an end was closed; what it took something from stays dead until it is
    reset. Once `cut_after` bytes of answers have passed, a connection is reset; so many, `cuts`, are.
    """

    there_s: float = 0
    back_s: float = 0
    refuse: bool = False
    black_hole: bool = False
    cut_after: int = 0
    cuts: int = 0


@dataclass(eq=False, slots=True)
class Link:
    """A connection through the proxy."""

    client: socket.socket
    target: socket.socket
    dead: bool
    answered: int = 0
    work: asyncio.Task[None] = field(init=False)


class Proxy:
    """Forwards a port of the loopback to a target: a host and a port, or the path of a unix socket.

    `counts` has the connections `connected`, `refused`, `reset` and `cut`, and the pieces of data `delayed` and
    `swallowed`.
    """

    def __init__(self, target: tuple[str, int] | str) -> None:
        self.counts: Counter[str] = Counter()
        self._target = target
        self._faults = Faults()
        self._links: set[Link] = set()
        self._passable = asyncio.Event()
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=128)
        self._listener.setblocking(False)
        self.port: int = self._listener.getsockname()[1]
        self._loop = asyncio.new_event_loop()
        self._acceptor = self._loop.create_task(self._accept())
        self._thread = Thread(target=self._loop.run_forever, name=f"proxy {self.port}")

    def __enter__(self) -> Self:
        self._thread.start()
        self.heal()
        return self

    def __exit__(self, *_: object) -> None:
        self._in_loop(self._close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def switch(self, faults: Faults) -> None:
        """Inject these faults from now on, and no others."""
        self._in_loop(self._switch(faults))

    def heal(self) -> None:
        """Let everything pass again."""
        self.switch(Faults())

    def reset(self) -> None:
        """Reset the connections that are open, at both ends."""
        self._in_loop(self._reset())

    def _in_loop(self, work: Coroutine[Any, Any, None]) -> None:
        asyncio.run_coroutine_threadsafe(work, self._loop).result(10)

    async def _switch(self, faults: Faults) -> None:
        self._faults = faults
        (self._passable.clear if faults.black_hole else self._passable.set)()
        for link in self._links:
            link.answered = 0

    async def _reset(self) -> None:
        links = list(self._links)
        for link in links:
            link.work.cancel()
        await asyncio.gather(*(link.work for link in links), return_exceptions=True)
        self.counts["reset"] += len(links)

    async def _close(self) -> None:
        self._acceptor.cancel()
        with suppress(asyncio.CancelledError):
            await self._acceptor
        self._listener.close()
        await self._reset()

    async def _accept(self) -> None:
        while True:
            client, _ = await self._loop.sock_accept(self._listener)
            self.counts["refused" if self._faults.refuse else "connected"] += 1
            target = socket.socket(socket.AF_UNIX if isinstance(self._target, str) else socket.AF_INET)
            target.setblocking(False)
            link = Link(client, target, dead=self._faults.black_hole)
            self._links.add(link)
            link.work = self._loop.create_task(self._serve(link))
            link.work.add_done_callback(partial(self._forget, link))
            if self._faults.refuse:
                link.work.cancel()

    async def _serve(self, link: Link) -> None:
        try:
            async with asyncio.TaskGroup() as both_ways:
                if not link.dead:
                    await self._loop.sock_connect(link.target, self._target)
                    both_ways.create_task(self._answer(link))
                both_ways.create_task(self._ask(link))
        except* EOFError:
            link.client.close()
            link.target.close()
        except* OSError:
            pass  # an end was reset: so is the other

    def _forget(self, link: Link, _: asyncio.Task[None]) -> None:
        self._links.discard(link)
        for end in (link.client, link.target):
            if end.fileno() >= 0:
                end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RST_WHEN_CLOSED)
                end.close()

    async def _ask(self, link: Link) -> None:
        while True:
            await self._loop.sock_sendall(link.target, await self._next(link, link.client))

    async def _answer(self, link: Link) -> None:
        while True:
            data = await self._next(link, link.target)
            link.answered += len(data)
            surplus = link.answered - self._faults.cut_after
            if self._faults.cuts and surplus >= 0:
                self._faults = replace(self._faults, cuts=self._faults.cuts - 1)
                self.counts["cut"] += 1
                await self._loop.sock_sendall(link.client, data[: len(data) - surplus])
                raise ConnectionResetError
            await self._loop.sock_sendall(link.client, data)

    async def _next(self, link: Link, source: socket.socket) -> bytes:
        """Return what is to be passed on; EOFError when the source is closed and that may be known."""
        while data := await self._loop.sock_recv(source, CHUNK_BYTES):
            if wait_s := self._faults.there_s if source is link.client else self._faults.back_s:
                self.counts["delayed"] += 1
                await asyncio.sleep(wait_s)
            link.dead = link.dead or self._faults.black_hole
            if not link.dead:
                return data
            self.counts["swallowed"] += 1
        await self._passable.wait()
        raise EOFError
