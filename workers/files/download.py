"""Download of a file from a store to the disk, in bounded memory."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from exospherehost import ConfigurationError
from workers.files.errors import store_errors
from workers.files.location import Location
from workers.files.stores import CONNECTION, open_store

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

CHUNK_BYTES = 4 * 2**20


@dataclass(frozen=True, slots=True)
class Reference:
    """A file to be read: its location, and what is known of the access to it."""

    location: Location
    connection: Mapping[str, Any]

    @classmethod
    def parse(cls, given: str | Mapping[str, Any]) -> Reference:
        """Read a URI, or a reference as get-files-from-s3 returns it; ConfigurationError where it is neither."""
        if isinstance(given, str):
            return cls(Location.parse(given), {})
        return cls(Location.parse(given["uri"]), {name: given[name] for name in CONNECTION if name in given})

    @property
    def name(self) -> str:
        """The last part of its key."""
        return self.location.key.rpartition("/")[2]


async def download(reference: Reference, access: Mapping[str, Any], path: Path, *, max_bytes: int) -> str | None:
    """Write a file to a path, and return its etag; `access` is what a configuration says beside the reference.

    Raises ConfigurationError where it is not there, access is denied, or it has more than `max_bytes`; TransientError
    where the store or the network fails.
    """
    location = reference.location
    store = open_store(location, {**reference.connection, **access})
    with store_errors(location.uri):
        found = await store.get_async(location.key)
        if found.meta["size"] > max_bytes:
            raise ConfigurationError(
                f"{location.uri} has {found.meta['size']} bytes; at most {max_bytes} are read (max_file_bytes)"
            )
        with path.open("wb") as file:
            async for chunk in found.stream(min_chunk_size=CHUNK_BYTES):
                file.write(chunk)
    return (found.meta["e_tag"] or "").strip('"') or None
