"""The URI of a file or a folder: `s3://`, `gs://`, `az://` with a bucket and a key, and `file://` with a path. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Self
from urllib.parse import quote, unquote

from exospherehost import ConfigurationError

LOCAL = "file"
SCHEMES = ("s3", "gs", "az", LOCAL)
ALIASES = {"gcs": "gs", "azure": "az"}


@dataclass(frozen=True, slots=True)
class Location:
    """A place in an object store or on the worker's own disk.

    Keys are written plainly in a URI, as the tools of the clouds do (`s3://bucket/a b.pdf`); paths of `file://` are
    percent-encoded, as RFC 8089 has it.
    """

    scheme: str
    bucket: str
    """The bucket, or the container in Azure; empty for a local path."""
    key: str
    """The key, or the absolute path without its first slash."""

    @classmethod
    def parse(cls, uri: str) -> Self:
        """Parse a URI; ConfigurationError where it names no place that can be reached."""
        scheme, separator, rest = uri.partition("://")
        scheme = ALIASES.get(scheme, scheme)
        if not separator or scheme not in SCHEMES:
            raise ConfigurationError(f"{uri!r} is no URI of a file: it starts with none of {_schemes()}")
        bucket, _, key = rest.partition("/")
        if scheme == LOCAL:
            if bucket not in {"", "localhost"}:
                raise ConfigurationError(f"{uri!r} names the host {bucket!r}: a path begins with a third slash")
            return cls(LOCAL, "", unquote(key))
        if not bucket:
            raise ConfigurationError(f"{uri!r} names no bucket")
        return cls(scheme, bucket, key)

    @property
    def uri(self) -> str:
        """The URI that parses to this location."""
        return f"file:///{quote(self.key)}" if self.is_local else f"{self.scheme}://{self.bucket}/{self.key}"

    @property
    def is_local(self) -> bool:
        """Whether it is on the worker's own disk."""
        return self.scheme == LOCAL

    @property
    def path(self) -> Path:
        """The path of a local location."""
        return Path("/", self.key)

    def at(self, key: str) -> Location:
        """Return the location of another key in the same bucket."""
        return Location(self.scheme, self.bucket, key)


def _schemes() -> str:
    return ", ".join(f"{scheme}://" for scheme in SCHEMES)
