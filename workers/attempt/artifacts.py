"""Artifacts of an attempt: the bytes first, then the row, so that what can be seen is whole."""

from __future__ import annotations

import io
import logging
from typing import TYPE_CHECKING, TypeVar
from uuid import UUID

from uuid_utils.compat import uuid7

from exospherehost import ConfigurationError, ResourceError, SatelliteError, TransientError
from state_manager.artifact_bytes import BUFFER_BYTES, ArtifactBytes
from state_manager.config import settings
from state_manager.errors import BytesMissing, LateOutcome, LocationFull, LocationRefused
from state_manager.failpoints import Point, reach
from state_manager.store import artifacts
from state_manager.store.artifacts import NewArtifact
from workers.attempt.database import ask
from workers.attempt.interrupts import InterruptionCheck, shielded

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from exospherehost.artifacts import Content
    from state_manager.errors import LocationFailed
    from state_manager.store.transitions import Claimed
    from workers.attempt.redaction import Redactor

T = TypeVar("T")

_log = logging.getLogger(__name__)


class KeptArtifacts:
    """The place of artifacts that `exospherehost.artifacts.Artifacts` works with, for one attempt."""

    def __init__(self, attempt: Claimed, redactor: Redactor) -> None:
        self._attempt = attempt
        self._redactor = redactor

    def write(self, name: str, media_type: str, content: Content) -> str:
        """Keep an artifact, in place of the one of this name that the satellite had; return its id.

        A secret in its name is left out of the row; the bytes are kept as they are.

        Raises ConfigurationError, ResourceError and TransientError of the location, and LateOutcome.
        """
        artifact_id, kept = uuid7(), _Bytes()
        kept.write(self._attempt.execution_id, artifact_id, _interruptible(content))
        reach(Point.ARTIFACT_WRITTEN)
        new = NewArtifact(
            artifact_id, self._redactor.in_text(name), media_type, content.size, content.sha256, kept.location
        )
        try:
            replaced = ask(lambda engine: artifacts.put(engine, self._attempt, new))
        except LateOutcome:
            self._remove(kept, artifact_id)
            raise
        # Whatever else comes between leaves the bytes: the row may be there, though its answer was lost.
        if replaced is not None:
            self._remove(kept, replaced)
        return str(artifact_id)

    def open(self, artifact_id: str) -> io.BufferedReader:
        """Open an artifact of the project; ConfigurationError where there is none, or its bytes are gone."""
        execution_id = self._attempt.execution_id
        found = ask(lambda engine: artifacts.get_of_same_project(engine, UUID(artifact_id), execution_id))
        if found is None:
            raise ConfigurationError(
                f"there is no artifact {artifact_id} in this project: "
                "there never was, or a later one of its satellite and name has replaced it"
            )
        return io.BufferedReader(_Bytes().open(found), BUFFER_BYTES)

    def _remove(self, kept: ArtifactBytes, artifact_id: UUID) -> None:
        """Remove bytes that nobody can see; those that stay behind go with the execution."""
        try:
            kept.remove(self._attempt.execution_id, artifact_id)
        except SatelliteError as error:
            _log.warning("bytes that nobody needs stay behind: %s", error)


class _Bytes(ArtifactBytes):
    """The bytes at this worker's location: no interruption comes into a call, and what fails are satellites' errors."""

    def __init__(self) -> None:
        super().__init__(settings(), _shielded)

    def error(self, error: LocationFailed | BytesMissing) -> Exception:
        """Return the satellite's error, whose kind decides whether another attempt is made."""
        if isinstance(error, BytesMissing | LocationRefused):
            return ConfigurationError(str(error))
        return (ResourceError if isinstance(error, LocationFull) else TransientError)(str(error))


def _shielded(call: Callable[[], T]) -> T:
    with shielded():
        return call()


def _interruptible(content: Content) -> Iterator[bytes]:
    """Let an interruption break off an upload between two chunks, though none comes into the upload itself."""
    check = InterruptionCheck()
    for chunk in content:
        check.raise_if_asked()
        yield chunk
