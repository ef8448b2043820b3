"""Requests whose response is lost: repeated where that is safe, and sent once where it is not."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pytest

from exospherehost.state_manager import StateManagerClient, Unavailable
from tests.client.scripted_server import EXECUTION
from tests.processes import free_port
from tests.waiting import until

if TYPE_CHECKING:
    from asyncio import StreamReader, StreamWriter
    from collections.abc import AsyncIterator, Awaitable, Callable

    Call = Callable[[StateManagerClient], Awaitable[Any]]

LOST = 0
"""In place of a status: the request is read, and the connection closed without a response."""
CLUSTER = {"identifier": "p/n", "satellites": []}


@dataclass
class UnreliableServer:
    """Answers requests with `responses` in turn, then 200. `requests` holds the head of each."""

    responses: list[int]
    requests: list[str] = field(default_factory=list)

    @asynccontextmanager
    async def serve(self, port: int = 0) -> AsyncIterator[str]:
        """Serve, and yield the URI."""
        server = await asyncio.start_server(self._answer, "127.0.0.1", port)
        async with server:
            yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"

    async def _answer(self, reader: StreamReader, writer: StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        self.requests.append(head)
        status = self.responses.pop(0) if self.responses else 200
        if status != LOST:
            body = f'{{"execution_id": "{EXECUTION}"}}'
            writer.write(
                f"HTTP/1.1 {status} X\r\nConnection: close\r\nContent-Length: {len(body)}\r\n\r\n{body}".encode()
            )
            await writer.drain()
        writer.close()

    def idempotency_keys(self) -> list[str]:
        """Return the key of each request."""
        lines = [line for head in self.requests for line in head.split("\r\n")]
        return [line.partition(": ")[2] for line in lines if line.lower().startswith("idempotency-key: ")]


def call(server: UnreliableServer, use: Call) -> None:
    async def run() -> None:
        async with server.serve() as uri, StateManagerClient(uri) as client:
            await use(client)

    asyncio.run(run())


retries = pytest.mark.parametrize(
    "use",
    [lambda client: client.retry_execution(EXECUTION), lambda client: client.retry_satellite(EXECUTION)],
    ids=["retry_execution", "retry_satellite"],
)


@retries
@pytest.mark.parametrize("response", [LOST, 502, 503, 504])
def test_retry_that_may_have_taken_effect_is_not_sent_again(use: Call, response: int) -> None:
    server = UnreliableServer([response])

    with pytest.raises(Unavailable) as error:
        call(server, use)
    assert error.value.may_have_taken_effect
    assert len(server.requests) == 1


@retries
def test_retry_that_a_rate_limit_refused_is_sent_again(use: Call) -> None:
    server = UnreliableServer([429])

    call(server, use)
    assert len(server.requests) == 2


@retries
def test_retry_that_could_not_connect_is_sent_again(use: Call, caplog: pytest.LogCaptureFixture) -> None:
    port, server = free_port(), UnreliableServer([])

    async def run() -> None:
        async with StateManagerClient(f"http://127.0.0.1:{port}") as client:
            retrying = asyncio.ensure_future(use(client))
            await asyncio.to_thread(until, lambda: "cannot be reached" in caplog.text, what="the first try has failed")
            async with server.serve(port):
                await retrying

    asyncio.run(run())
    assert len(server.requests) == 1


@pytest.mark.parametrize("response", [LOST, 429, 502, 503, 504])
@pytest.mark.parametrize(
    "use",
    [
        lambda client: client.get_execution(EXECUTION),
        lambda client: client.get_satellite(EXECUTION),
        lambda client: client.cancel_execution(EXECUTION),
        lambda client: client.submit_cluster(CLUSTER),
    ],
    ids=["get_execution", "get_satellite", "cancel_execution", "submit_cluster"],
)
def test_idempotent_request_is_sent_again(use: Call, response: int) -> None:
    server = UnreliableServer([response, response])

    call(server, use)
    assert len(server.requests) == 3


def test_submission_is_sent_again_with_the_same_key_and_each_call_has_another() -> None:
    server = UnreliableServer([LOST])

    async def submit_twice(client: StateManagerClient) -> None:
        await client.submit_cluster(CLUSTER)
        await client.submit_cluster(CLUSTER)

    call(server, submit_twice)
    first, again, second = server.idempotency_keys()
    assert first == again != second


def test_requests_are_given_up_when_the_time_for_retries_is_over() -> None:
    server = UnreliableServer([LOST] * 20)

    async def run() -> None:
        async with server.serve() as uri, StateManagerClient(uri, retry_for_s=0) as client:
            await client.get_execution(EXECUTION)

    with pytest.raises(Unavailable, match="did not answer"):
        asyncio.run(run())
    assert len(server.requests) == 1
