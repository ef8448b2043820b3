"""Listing of a store: the files whose keys begin with a prefix, a page at a time."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from exospherehost import ConfigurationError
from workers.files.errors import store_errors

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from obstore import ObjectMeta
    from obstore.store import ObjectStore

    from workers.files.location import Location

PAGE = 1000
"""Entries handled at a time, which is also what S3 answers a request."""

ORDERED = ("s3", "gs")
"""Schemes whose listings are in the order of the keys' bytes."""

UNORDERED_BUCKETS = "--x-s3"
"""Ending of the names of S3's directory buckets, whose listings have no order."""


async def list_files(store: ObjectStore, location: Location, *, recursive: bool) -> AsyncIterator[ObjectMeta]:
    """Yield the files whose keys begin with the location's key; in the order of their keys, but in Azure.

    As in S3 the key need not end at a slash: `reports/2026-` finds `reports/2026-01.pdf`. Without `recursive` nothing
    behind a further slash is listed. Symbolic links in local folders are passed over.
    Raises ConfigurationError where there is no such bucket or local folder, or where access is denied.
    """
    location = _local_folder(location) if location.is_local else location
    with store_errors(location.uri):
        async for page in _pages(store, location, recursive=recursive):
            found = [entry for entry in page if entry["path"].startswith(location.key)]
            for entry in await _without_folder_markers(store, found):
                yield entry
            if _is_past(page, location):
                return


async def _pages(store: ObjectStore, location: Location, *, recursive: bool) -> AsyncIterator[Sequence[ObjectMeta]]:
    # obstore takes whole segments of a path as a prefix: what is behind the last slash is compared by `list_files`.
    folder = location.key.rpartition("/")[0] or None
    if location.is_local:
        yield await asyncio.to_thread(_local_files, store, location, folder, recursive=recursive)
    elif recursive:
        offset = location.key[:-1] if _is_ordered(location) and not location.key.endswith("/") else None
        async for page in store.list(folder, offset=offset or None, chunk_size=PAGE):
            yield page
    else:
        yield (await store.list_with_delimiter_async(folder))["objects"]


async def _without_folder_markers(store: ObjectStore, page: Sequence[ObjectMeta]) -> list[ObjectMeta]:
    """Drop empty objects whose keys end with a slash, as consoles make them for folders.

    obstore lists them without the slash, so that only a request tells them from empty files.
    """
    empty = [entry["path"] for entry in page if not entry["size"]]
    markers = {
        path
        for path, there in zip(empty, await asyncio.gather(*(_exists(store, path) for path in empty)), strict=True)
        if not there
    }
    return [entry for entry in page if entry["path"] not in markers]


async def _exists(store: ObjectStore, key: str) -> bool:
    try:
        await store.head_async(key)
    except FileNotFoundError:
        return False
    return True


def _local_folder(location: Location) -> Location:
    if location.path.is_dir() and not location.key.endswith("/"):
        return location.at(f"{location.key}/")
    if not location.path.parent.is_dir():
        raise ConfigurationError(f"{location.uri}: there is no such folder")
    return location


def _local_files(store: ObjectStore, location: Location, folder: str | None, *, recursive: bool) -> list[ObjectMeta]:
    """List a local folder, sorted and without what symbolic links lead to: obstore follows them, out of the folder."""
    listed = (
        [one for page in store.list(folder, chunk_size=PAGE) for one in page]
        if recursive
        else [*store.list_with_delimiter(folder)["objects"]]
    )
    root = location.at(folder or "").path
    real = root.resolve()
    kept = [one for one in listed if (path := location.at(one["path"]).path).resolve() == real / path.relative_to(root)]
    return sorted(kept, key=lambda one: one["path"])


def _is_ordered(location: Location) -> bool:
    return location.scheme in ORDERED and not location.bucket.endswith(UNORDERED_BUCKETS)


def _is_past(page: Sequence[ObjectMeta], location: Location) -> bool:
    """Tell whether a page ends behind everything that begins with the key."""
    if not page or not _is_ordered(location):
        return False
    last = page[-1]["path"]
    return not last.startswith(location.key) and last.encode() > location.key.encode()
