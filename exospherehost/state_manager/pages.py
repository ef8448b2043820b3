"""Listings of the API, which come in pages."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Generator, Mapping

    from exospherehost.state_manager.http import HttpClient

PAGE_SIZE = 200
"""The API's maximum."""

T = TypeVar("T")


class Pages(Generic[T]):
    """Items in the order of the API: `async for` reads pages as they are needed, `await` reads all into a list."""

    def __init__(
        self, http: HttpClient, path: str, make: Callable[[Any], T], query: Mapping[str, str], limit: int | None
    ) -> None:
        self._http = http
        self._path = path
        self._make = make
        self._query = query
        self._limit = limit

    async def __aiter__(self) -> AsyncIterator[T]:
        """Read page by page, as items are asked for."""
        left, cursor = self._limit, None
        while left is None or left > 0:
            size = PAGE_SIZE if left is None else min(PAGE_SIZE, left)
            query = {**self._query, "limit": str(size), **({"cursor": cursor} if cursor else {})}
            page = await self._http.request("GET", self._path, params=query)
            for item in page["items"]:
                yield self._make(item)
            left = None if left is None else left - len(page["items"])
            cursor = page["next_cursor"]
            if cursor is None:
                return

    def __await__(self) -> Generator[Any, None, list[T]]:
        """Read all pages."""
        return self._read_all().__await__()

    async def _read_all(self) -> list[T]:
        return [item async for item in self]
