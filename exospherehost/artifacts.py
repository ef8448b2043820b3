"""Artifacts: data that are too large for an output, kept by name and passed on by reference."""

from __future__ import annotations

import hashlib
import io
import mimetypes
import re
from collections.abc import Mapping
from contextlib import closing
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias, cast
from uuid import UUID, uuid4

from exospherehost.errors import ConfigurationError, TransientError
from exospherehost.files import appearing

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator
    from io import BufferedIOBase

NAME_CHARACTERS = 255

CHUNK_BYTES = 5 * 1024 * 1024
"""Bytes that are read at a time: the smallest part of an upload that S3 takes."""

URI_SCHEME = "artifact:"


class BinaryFile(Protocol):
    """A file that is open for reading bytes."""

    def read(self, size: int, /) -> bytes:
        """Return at most so many bytes, none at the end."""


Data: TypeAlias = "bytes | bytearray | memoryview | str | PathLike[str] | BinaryFile"
Reference: TypeAlias = "Mapping[str, Any] | str | UUID"

_MEDIA_TYPE = re.compile(r"[\w.+-]+/[\w.+-]+(; ?[\w.-]+=[\w.+-]+)*", re.ASCII)


class Content:
    """Data in chunks, counted and hashed as they are read."""

    def __init__(self, chunks: Iterator[bytes]) -> None:
        self.size = 0
        self._chunks = chunks
        self._digest = hashlib.sha256()

    @property
    def sha256(self) -> str:
        """The hash of what was read so far, in hexadecimal."""
        return self._digest.hexdigest()

    def __iter__(self) -> Iterator[bytes]:
        """Read the chunks."""
        for chunk in self._chunks:
            self.size += len(chunk)
            self._digest.update(chunk)
            yield chunk


class ArtifactStore(Protocol):
    """A place for artifacts."""

    def write(self, name: str, media_type: str, content: Content) -> str:
        """Keep an artifact, and return its id, a UUID."""

    def open(self, artifact_id: str) -> BufferedIOBase:
        """Open an artifact; ConfigurationError where there is none."""


class Artifacts:
    """The artifacts of an attempt, in a store: what a worker brings, or else this process's memory."""

    def __init__(self, store: ArtifactStore | None = None) -> None:
        self._store = store or ArtifactsInMemory()

    def put(self, name: str, data: Data, media_type: str | None) -> dict[str, Any]:
        """Keep data under a name, and return the reference."""
        if not isinstance(name, str) or not 1 <= len(name) <= NAME_CHARACTERS or not name.isprintable():
            raise ConfigurationError(
                f"an artifact's name is a text of 1 to {NAME_CHARACTERS} printable characters, not {_short(name)}"
            )
        media_type = media_type or mimetypes.guess_type(name)[0] or "application/octet-stream"
        if not _MEDIA_TYPE.fullmatch(media_type):
            raise ConfigurationError(f"the media type of artifact {name!r} is like text/plain, not {media_type!r}")
        with closing(_chunks(name, data)) as chunks:
            content = Content(chunks)
            artifact_id = self._store.write(name, media_type, content)
        return reference(artifact_id, name, content.size, content.sha256, media_type)

    def get(self, wanted: Reference) -> bytes:
        """Read an artifact."""
        with self.open(wanted) as file:
            content = Content(_read(file))
            data = b"".join(content)
        _require_intact(wanted, content)
        return data

    def open(self, wanted: Reference) -> BufferedIOBase:
        """Open an artifact for reading."""
        return self._store.open(id_of(wanted))

    def download(self, wanted: Reference, path: PathLike[str] | str) -> Path:
        """Write an artifact to a file, which appears when all of it is there."""
        with self.open(wanted) as source, appearing(Path(path)) as file:
            content = Content(_read(source))
            for chunk in content:
                file.write(chunk)
            _require_intact(wanted, content)
        return Path(path)


class ArtifactsInMemory:
    """Artifacts of this process alone, so that a satellite can be called without a worker."""

    def __init__(self) -> None:
        self._kept: dict[str, bytes] = {}

    def write(self, name: str, media_type: str, content: Content) -> str:  # noqa: ARG002
        """Keep an artifact."""
        artifact_id = str(uuid4())
        self._kept[artifact_id] = b"".join(content)
        return artifact_id

    def open(self, artifact_id: str) -> BufferedIOBase:
        """Open an artifact."""
        if artifact_id not in self._kept:
            raise ConfigurationError(f"there is no artifact {artifact_id}")
        return io.BytesIO(self._kept[artifact_id])


def reference(artifact_id: str, name: str, size: int, sha256: str, media_type: str) -> dict[str, Any]:
    """Make the reference to an artifact: JSON, to be returned, put into `context.store`, and passed on."""
    return {
        "uri": f"{URI_SCHEME}{artifact_id}",
        "id": artifact_id,
        "name": name,
        "size": size,
        "sha256": sha256,
        "media_type": media_type,
    }


def id_of(wanted: Reference) -> str:
    """Return the id in a reference, which may also be an id or a `uri`; ConfigurationError where it is none."""
    found = wanted.get("id") or wanted.get("uri") if isinstance(wanted, Mapping) else wanted
    try:
        return str(UUID(str(found).removeprefix(URI_SCHEME)))
    except ValueError:
        raise ConfigurationError(
            f"{_short(wanted)} refers to no artifact: pass what put_artifact returned, or its id"
        ) from None


def _chunks(name: str, data: Data) -> Generator[bytes]:
    if isinstance(data, bytes | bytearray | memoryview):
        view = memoryview(data).cast("B")
        yield from (bytes(view[at : at + CHUNK_BYTES]) for at in range(0, len(view), CHUNK_BYTES))
    elif not isinstance(data, str | PathLike) and hasattr(data, "read"):
        yield from _read(data)
    else:
        try:
            file = Path(cast("str", data)).open("rb")  # noqa: SIM115  (the next line does)
        except TypeError:
            raise ConfigurationError(
                f"artifact {name!r} is made of bytes, a path or a binary file, not of {type(data).__name__}"
            ) from None
        except (OSError, ValueError) as error:
            hint = "; pass text as bytes, text.encode()" if isinstance(data, str) else ""
            raise ConfigurationError(
                f"artifact {name!r}: {_short(data)} is not a file to read: {error}{hint}"
            ) from error
        with file:
            yield from _read(file)


def _read(file: BinaryFile) -> Iterator[bytes]:
    while chunk := file.read(CHUNK_BYTES):
        if not isinstance(chunk, bytes):
            raise ConfigurationError(
                f"a file opened in binary mode is needed, not one that reads {type(chunk).__name__}"
            )
        yield chunk


def _require_intact(wanted: Reference, content: Content) -> None:
    """Raise TransientError unless these are the data that the reference was made of."""
    if isinstance(wanted, Mapping) and wanted.get("sha256") not in {None, content.sha256}:
        raise TransientError(f"artifact {id_of(wanted)} came back with {content.size} bytes, other than were put")


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= NAME_CHARACTERS else f"{text[:80]}…"
