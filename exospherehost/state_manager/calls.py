"""Calls over HTTP: one try, or as many as patience lasts, and answers in pages."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Generic, TypeVar
from urllib.parse import urlsplit

import httpx

from exospherehost.state_manager.errors import ServerFailed, Unavailable, error_of
from exospherehost.state_manager.patience import patiently

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Generator, Mapping

PAGE = 200
"""So many items the API gives at once."""

TIMEOUT_S = 30.0
"""So long one try may take."""

KEPT_CONNECTIONS = 20

T = TypeVar("T")


class Calls:
    """Calls one State Manager; with a connection a call, or with some that are kept from `open` to `aclose`.

    Nobody closes what is used as it is, perhaps in one `asyncio.run` after the other: so nothing is kept open there.
    """

    def __init__(self, uri: str, headers: Mapping[str, str], patience_s: float) -> None:
        self.uri = uri
        self._headers = headers
        self._patience_s = patience_s
        self._kept = 0
        self._http: httpx.AsyncClient | None = None

    async def ask(self, method: str, path: str, *, repeatable: bool = True, **request: Any) -> Any:
        """Send a request, and give the JSON of the answer; raises StateManagerError.

        One that is not `repeatable` is sent again only where it cannot have arrived.
        """
        return await patiently(lambda: self._ask_once(method, path, request), self._patience_s, repeatable=repeatable)

    def open(self) -> None:
        """Keep connections, for the calls to come."""
        self._kept, self._http = KEPT_CONNECTIONS, None

    async def aclose(self) -> None:
        """Close the connections, and keep no others."""
        http, self._kept, self._http = self._http, 0, None
        if http is not None:
            await http.aclose()

    async def _ask_once(self, method: str, path: str, request: Mapping[str, Any]) -> Any:
        try:
            answer = await self._client().request(method, path, **request)
        except (httpx.ConnectError, httpx.ConnectTimeout) as error:
            raise Unavailable(f"{self.uri} cannot be reached: {error}", may_have_arrived=False) from None
        except httpx.TransportError as error:
            raise Unavailable(f"{self.uri} did not answer: {type(error).__name__}") from None
        try:
            payload = answer.json()
        except ValueError:
            payload = None
        is_object = isinstance(payload, dict)
        strange = f"{self.uri} answered {answer.status_code}, and no JSON object: is that a State Manager?"
        if not answer.is_success:
            said = payload if is_object else {"message": strange}
            raise error_of(answer.status_code, said, submitted=(method, path) == ("POST", "/executions"))
        if not is_object:
            raise ServerFailed(strange)
        return payload

    def _client(self) -> httpx.AsyncClient:
        if self._http is None:
            limits = httpx.Limits(max_keepalive_connections=self._kept)
            self._http = httpx.AsyncClient(
                base_url=self.uri,
                headers=self._headers,
                timeout=TIMEOUT_S,
                limits=limits,
                trust_env=not is_loopback(self.uri),
            )
        return self._http


def is_loopback(uri: str) -> bool:
    """Tell whether this is our own machine, which no proxy of the environment reaches."""
    host = urlsplit(uri).hostname or ""
    return host in {"localhost", "::1"} or host.startswith("127.")


class Pages(Generic[T]):
    """Items in the order of the API: `async for` takes them as pages arrive, `await` takes all as a list."""

    def __init__(
        self, calls: Calls, path: str, make: Callable[[Any], T], query: Mapping[str, str], limit: int | None
    ) -> None:
        self._calls = calls
        self._path = path
        self._make = make
        self._query = query
        self._limit = limit

    async def __aiter__(self) -> AsyncIterator[T]:
        """Read page by page, as they are asked for."""
        left, cursor = self._limit, None
        while left is None or left > 0:
            query = {**self._query, "limit": str(min(PAGE, left or PAGE)), **({"cursor": cursor} if cursor else {})}
            page = await self._calls.ask("GET", self._path, params=query)
            for item in page["items"]:
                yield self._make(item)
            left = None if left is None else left - len(page["items"])
            cursor = page["next_cursor"]
            if cursor is None:
                return

    def __await__(self) -> Generator[Any, None, list[T]]:
        """Read all pages."""
        return self._all().__await__()

    async def _all(self) -> list[T]:
        return [item async for item in self]
