"""The context that a satellite receives when it runs."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from exospherehost.artifacts import Artifacts
from exospherehost.store import Store

if TYPE_CHECKING:
    import logging
    from collections.abc import Callable, Mapping
    from io import BufferedIOBase
    from os import PathLike
    from pathlib import Path

    from exospherehost.artifacts import Data, Reference


@dataclass(frozen=True, slots=True)
class Context:
    """The context of one attempt of a satellite."""

    config: dict[str, Any]
    """The satellite's configuration, as submitted."""
    input: dict[str, Any]
    """The outputs of its dependencies by name, overridden by its own submitted input."""
    execution_id: str
    satellite_id: str
    name: str
    attempt: int
    """The number of this attempt, from 1."""
    log: logging.Logger
    """The logger of this attempt. Its lines, and what is printed, are read at `GET /satellites/ID/logs`."""
    cancelled: Callable[[], bool]
    """Tells whether this attempt should end, because it was cancelled or its timeout has passed."""
    report: Callable[[float, str], None] = field(default=lambda _fraction, _message: None, repr=False)
    """Receives the progress; ignores it by default, so that a satellite can be called without a worker."""
    store: Store = field(default_factory=Store, repr=False)
    """Values that all satellites of the execution share."""
    artifacts: Artifacts = field(default_factory=Artifacts, repr=False)
    """The place of artifacts, for the methods below."""

    secrets: Mapping[str, str] = field(default_factory=dict, repr=False)
    """The secrets of the execution and of its project, by name; each is read and decrypted when it is asked for.

    One that is not there is a ConfigurationError, and a KeyError too, so that `get` and `in` work. What is read is
    replaced by three asterisks wherever this attempt writes it: in its output, errors, logs, prints and progress.
    """

    @property
    def idempotency_key(self) -> str:
        """A key that is the same for every attempt, for services that must not do the same work twice."""
        return self.satellite_id

    def progress(self, fraction: float, message: str = "") -> None:
        """Report the progress of this attempt to watchers: a fraction from 0 to 1, and a message.

        It may be called at every step of a loop: about ten reports a second are sent, the latest each; none is stored.
        Raises ValueError for a fraction that is not between 0 and 1.
        """
        if not 0 <= fraction <= 1:
            raise ValueError(f"progress is a number from 0 to 1, not {fraction!r}")
        self.report(float(fraction), str(message))

    def put_artifact(self, name: str, data_or_path: Data, *, media_type: str | None = None) -> dict[str, Any]:
        """Keep data that are too large for an output, and return a reference to be returned and passed on.

        `data_or_path` are bytes, a binary file, or the path of one, which is read in pieces. The `media_type` is that
        of the name's ending unless it is given. The reference has `uri`, `id`, `name`, `size`, `sha256` and
        `media_type`. A name is the satellite's own: kept again, in this attempt or a later one, it replaces the
        artifact before.
        """
        return self.artifacts.put(name, data_or_path, media_type)

    def get_artifact(self, reference: Reference) -> bytes:
        """Read an artifact by its reference or id. Raises ConfigurationError where the project has none such."""
        return self.artifacts.get(reference)

    def open_artifact(self, reference: Reference) -> BufferedIOBase:
        """Open an artifact as a binary file for reading, from the start or anywhere. Raises as `get_artifact`."""
        return self.artifacts.open(reference)

    def download_artifact(self, reference: Reference, path: PathLike[str] | str) -> Path:
        """Write an artifact to a file, and return the path. Raises as `get_artifact`."""
        return self.artifacts.download(reference, path)
