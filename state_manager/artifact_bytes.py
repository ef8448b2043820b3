"""The bytes of artifacts: in a folder or in an object store, as ARTIFACTS_URI says.

An object's path is made of ids alone, `EXECUTION/ARTIFACT`: no name that a satellite chose can lead out of the
location, and what belongs to an execution lies under one prefix.
"""

from __future__ import annotations

import io
import os
import re
import shutil
import socket
from contextlib import contextmanager
from datetime import timedelta
from functools import cached_property
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import unquote, urlsplit

from state_manager.errors import BytesMissing, LocationFailed, LocationFull, LocationRefused
from state_manager.setting import redacted

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from uuid import UUID

    from obstore import ReadableFile
    from obstore.store import ClientConfig, ObjectStore, RetryConfig

    from state_manager.config import Settings
    from state_manager.store.artifacts import Artifact

T = TypeVar("T")

PART_BYTES = 5 * 1024 * 1024
"""Smallest part of an upload in parts; less is sent in one request."""

UPLOADS_AT_ONCE = 2
"""Parts that are sent at a time: what an upload holds in memory, whatever its size."""

BUFFER_BYTES = 4 * 1024 * 1024
"""Bytes that are asked for at a time: a store far away takes as long for a thousand as for millions."""

CLIENT: ClientConfig = {"connect_timeout": "5s", "timeout": "60s", "allow_http": True}
"""Limits of one request; http only where the endpoint that is configured says so."""

RETRIES: RetryConfig = {"max_retries": 5, "retry_timeout": timedelta(seconds=30)}


class ArtifactBytes:
    """The bytes of artifacts at one location. It connects when first used, as a process may fork before that.

    Its calls block. They are made by `run`: in whatever way the process can afford that. Every method raises
    LocationFailed, or a subclass that says more.
    """

    def __init__(self, settings: Settings, run: Callable[[Callable[[], Any]], Any] | None = None) -> None:
        self.uri = settings.artifacts_uri or (settings.home / "artifacts").absolute().as_uri()
        self._run = run or (lambda call: call())
        parts = urlsplit(self.uri)
        self._folder = Path(unquote(parts.path)) if parts.scheme == "file" else None

    @property
    def location(self) -> str:
        """The location as others see it: a folder with the name of its machine, or a URI without passwords."""
        return redacted(self.uri) if self._folder is None else f"file://{socket.gethostname()}{self._folder}"

    def write(self, execution_id: UUID, artifact_id: UUID, chunks: Iterable[bytes]) -> None:
        """Write bytes. They appear when all are there: one that is interrupted leaves nothing to be seen."""
        path, source = _path(execution_id, artifact_id), _Source(chunks)
        with self._translated(f"artifact {artifact_id} cannot be written", source):
            self._run(lambda: self._write(path, source))

    def open(self, artifact: Artifact) -> StoredFile:
        """Open an artifact to be read. Raises BytesMissing, also where it has not as many bytes as were written."""
        path, what = _path(artifact.execution_id, artifact.id), f"artifact {artifact.id} cannot be read"
        with self._translated(what, missing_ok=True):
            file = StoredFile(self, self._run(lambda: self._open(path)), what)
            if file.size == artifact.size:
                return file
        raise self.error(BytesMissing(self._missing(artifact)))

    def error(self, error: LocationFailed | BytesMissing) -> Exception:
        """Return what to raise for an error: a process may have errors of its own for them."""
        return error

    def remove(self, execution_id: UUID, artifact_id: UUID) -> None:
        """Remove bytes, if they are there."""
        with self._translated(f"artifact {artifact_id} cannot be removed", missing_ok=True):
            self._run(lambda: self._remove(_path(execution_id, artifact_id)))

    def remove_execution(self, execution_id: UUID) -> None:
        """Remove all that an execution has kept, and what broken writes have left of it."""
        with self._translated(f"artifacts of execution {execution_id} cannot be removed", missing_ok=True):
            self._run(lambda: self._remove_execution(execution_id))

    def read_from(self, call: Callable[[], T], what: str) -> T:
        """Make a call that reads, for a file that is open."""
        with self._translated(what):
            result: T = self._run(call)
        return result

    @cached_property
    def _store(self) -> ObjectStore:
        # Loaded by who keeps artifacts, not by every process: it takes 0.1 s.
        from obstore.store import LocalStore, from_url  # noqa: PLC0415

        if self._folder is not None:
            return LocalStore(self._folder, mkdir=True, automatic_cleanup=True)
        return from_url(self.uri, client_options=CLIENT, retry_config=RETRIES)

    def _missing(self, artifact: Artifact) -> str:
        """Say that bytes are not there, and what is probably wrong."""
        why = "they were removed, or replaced by others"
        if artifact.location != self.location:
            why = f"they were written to {artifact.location}: the API and all workers need the same ARTIFACTS_URI"
        return f"the bytes of artifact {artifact.id} ({artifact.name!r}) are not at {self.location}; {why}"

    def _open(self, path: str) -> ReadableFile:
        import obstore  # noqa: PLC0415

        return obstore.open_reader(self._store, path, buffer_size=BUFFER_BYTES)

    def _remove(self, path: str) -> None:
        import obstore  # noqa: PLC0415

        obstore.delete(self._store, path)

    def _write(self, path: str, source: _Source) -> None:
        import obstore  # noqa: PLC0415

        start = source.start()
        content: Any = start if len(start) < PART_BYTES else chain([start], source)
        obstore.put(self._store, path, content, chunk_size=PART_BYTES, max_concurrency=UPLOADS_AT_ONCE)
        if self._folder is not None:
            for written in (self._folder / path, (self._folder / path).parent, self._folder):
                _flush(written)

    def _remove_execution(self, execution_id: UUID) -> None:
        import obstore  # noqa: PLC0415

        if self._folder is not None:
            # Not by the list of what is there: that leaves out what a broken write has begun.
            shutil.rmtree(self._folder / str(execution_id))
            return
        for page in obstore.list(self._store, prefix=str(execution_id), chunk_size=1000):
            obstore.delete(self._store, [found["path"] for found in page])

    @contextmanager
    def _translated(self, what: str, source: _Source | None = None, *, missing_ok: bool = False) -> Iterator[None]:
        """Raise what the location raises as errors of ours; what reading the source raises stays as it is."""
        try:
            yield
        except Exception as error:
            if source is not None and source.error is not None:
                raise source.error from None
            kind = _kind_of(error)
            if kind is None:
                raise
            if missing_ok and kind is BytesMissing:
                return
            if kind is BytesMissing and source is not None:
                kind = LocationRefused  # there is no such bucket
            why = _without_secrets(error) if self._folder is None else _first_line(error)
            # Not from the error: a traceback would show what it holds.
            raise self.error(kind(f"{what} at {self.location}: {why}")) from None


class StoredFile(io.RawIOBase):
    """An artifact's bytes as a binary file for reading."""

    def __init__(self, kept: ArtifactBytes, reader: ReadableFile, what: str) -> None:
        super().__init__()
        self.size = reader.size
        """In bytes."""
        self._kept = kept
        self._reader = reader
        self._what = what

    def readable(self) -> bool:
        """Tell that this file can be read."""
        return True

    def seekable(self) -> bool:
        """Tell that this file can be read from anywhere."""
        return True

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Go to a place in the file, and return it."""
        return self._reader.seek(offset, whence)

    def tell(self) -> int:
        """Return the place in the file."""
        return self._reader.tell()

    def readinto(self, buffer: Any) -> int:
        """Read into a buffer, and return how many bytes."""
        wanted = len(buffer)
        data = self._kept.read_from(lambda: self._reader.read(wanted), self._what)
        buffer[: len(data)] = memoryview(data)
        return len(data)


class _Source:
    """Chunks on their way to the location; `error` is what reading them raised."""

    def __init__(self, chunks: Iterable[bytes]) -> None:
        self.error: BaseException | None = None
        self._chunks = iter(chunks)

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        try:
            return next(self._chunks)
        except StopIteration:
            raise
        except BaseException as error:
            self.error = error
            raise

    def start(self) -> bytes:
        """Read `PART_BYTES` or more, or else all that there is."""
        read: list[bytes] = []
        for chunk in self:
            read.append(chunk)
            if sum(map(len, read)) >= PART_BYTES:
                break
        return b"".join(read)


def _path(execution_id: UUID, artifact_id: UUID) -> str:
    return f"{execution_id}/{artifact_id}"


def _flush(path: Path) -> None:
    """Have a file or folder survive a power cut: the row that says that it is there will."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _kind_of(error: Exception) -> type[LocationFailed | BytesMissing] | None:
    """Choose our error for the location's; None where it is not the location's."""
    from obstore import exceptions  # noqa: PLC0415

    if isinstance(error, FileNotFoundError | exceptions.NotFoundError):
        return BytesMissing
    if isinstance(error, PermissionError | exceptions.PermissionDeniedError | exceptions.UnauthenticatedError):
        return LocationRefused
    if not isinstance(error, OSError | exceptions.BaseError):
        return None
    return LocationFull if "No space left on device" in str(error) else LocationFailed


def _without_secrets(error: Exception) -> str:
    """Say what a service answered by its status and code alone: the rest may hold signatures and tokens."""
    status, code = re.search(r"status code: (\d{3})", str(error)), re.search(r"<Code>(\w{1,100})</Code>", str(error))
    if isinstance(error, FileNotFoundError):
        return "there is no such bucket or object"
    found = " ".join(match[1] for match in (status, code) if match is not None)
    return f"the service answered {found}" if found else "the service does not answer, or there are no credentials"


def _first_line(error: Exception) -> str:
    """Return what the location says, without obstore's debugging aids behind it."""
    return str(error).strip().partition("\n")[0]
