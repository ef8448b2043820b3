"""HTTP requests to the State Manager, retried while it is unavailable; errors become exceptions."""

from __future__ import annotations

from contextlib import contextmanager
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, BinaryIO
from urllib.parse import urlsplit

import httpx

from exospherehost.state_manager.errors import ServerFailed, Unavailable, error_of_response
from exospherehost.state_manager.retrying import retry_while_unavailable

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

TIMEOUT_S = 30.0
"""Timeout of one attempt's connecting, sending, and each read."""

MAX_KEPT_CONNECTIONS = 20


class HttpClient:
    """Sends requests to one State Manager. Connections are kept between `open` and `aclose`, and not otherwise.

    A client that is used without `async with` may be used by several event loops in turn (`asyncio.run` twice),
    and a connection belongs to the loop that opened it: there each request has a connection of its own.
    """

    def __init__(self, uri: str, headers: Mapping[str, str], retry_for_s: float) -> None:
        self.uri = uri
        self._headers = headers
        self._retry_for_s = retry_for_s
        self._max_kept = 0
        self._client: httpx.AsyncClient | None = None

    async def request(self, method: str, path: str, *, idempotent: bool = True, **options: Any) -> Any:
        """Send a request, and return the JSON object of the response, None for 204; raises StateManagerError.

        One that is not `idempotent` is sent again only where the first cannot have had an effect.
        """
        return await retry_while_unavailable(
            lambda: self._request_once(method, path, options), self._retry_for_s, idempotent=idempotent
        )

    async def download(self, path: str, file: BinaryIO) -> None:
        """Write the bytes of the response into a file, from its start; raises StateManagerError."""
        await retry_while_unavailable(lambda: self._download_once(path, file), self._retry_for_s)

    def open(self) -> None:
        """Keep connections from now on."""
        self._max_kept, self._client = MAX_KEPT_CONNECTIONS, None

    async def aclose(self) -> None:
        """Close the connections, and keep none from now on."""
        client, self._max_kept, self._client = self._client, 0, None
        if client is not None:
            await client.aclose()

    async def _request_once(self, method: str, path: str, options: Mapping[str, Any]) -> Any:
        with self._unavailable():
            response = await self._httpx().request(method, path, **options)
        return None if response.status_code == HTTPStatus.NO_CONTENT else self._payload_of(method, path, response)

    async def _download_once(self, path: str, file: BinaryIO) -> None:
        file.seek(0)
        file.truncate()
        with self._unavailable():
            async with self._httpx().stream("GET", path) as response:
                if response.is_success:
                    async for chunk in response.aiter_bytes():
                        file.write(chunk)
                    return
                await response.aread()
        self._payload_of("GET", path, response)

    @contextmanager
    def _unavailable(self) -> Iterator[None]:
        """Raise Unavailable where no response comes, or not all of it."""
        try:
            yield
        except (httpx.ConnectError, httpx.ConnectTimeout) as error:
            raise Unavailable(f"{self.uri} cannot be reached: {error}", may_have_taken_effect=False) from None
        except httpx.TransportError as error:
            raise Unavailable(f"{self.uri} did not answer: {type(error).__name__}") from None

    def _payload_of(self, method: str, path: str, response: httpx.Response) -> dict[str, Any]:
        payload = _json_object(response)
        if payload is not None and response.is_success:
            return payload
        unexpected = f"{self.uri} answered {response.status_code}, and no JSON object: is that a State Manager?"
        if response.is_success:
            raise ServerFailed(unexpected)
        is_submission = (method, path) == ("POST", "/executions")
        raise error_of_response(
            response.status_code, {"message": unexpected} if payload is None else payload, is_submission=is_submission
        )

    def _httpx(self) -> httpx.AsyncClient:
        if self._client is None:
            self._client = httpx.AsyncClient(
                base_url=self.uri,
                headers=self._headers,
                timeout=TIMEOUT_S,
                limits=httpx.Limits(max_keepalive_connections=self._max_kept),
                trust_env=not is_loopback(self.uri),
            )
        return self._client


def is_loopback(uri: str) -> bool:
    """Tell whether a URI is of this machine, which no proxy of the environment reaches."""
    host = urlsplit(uri).hostname or ""
    return host in {"localhost", "::1"} or host.startswith("127.")


def _json_object(response: httpx.Response) -> dict[str, Any] | None:
    try:
        payload = response.json()
    except ValueError:
        return None
    return payload if isinstance(payload, dict) else None
