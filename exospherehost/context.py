"""What a satellite is given when it runs."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import logging
    from collections.abc import Callable


@dataclass(frozen=True, slots=True)
class Context:
    """One attempt of one satellite: what it was asked for, and what it may use."""

    config: dict[str, Any]
    """The satellite's configuration, as submitted."""
    input: dict[str, Any]
    """The outputs of its dependencies by their names, and its own submitted input, which wins."""
    execution_id: str
    satellite_id: str
    name: str
    attempt: int
    """Counts from 1."""
    log: logging.Logger
    """What is logged here, and printed, can be read at `GET /satellites/ID/logs`."""
    cancelled: Callable[[], bool]
    """Tells whether this attempt is to end: it was cancelled, or is past its time."""
    report: Callable[[float, str], None] = field(default=lambda _fraction, _message: None, repr=False)
    """Where `progress` goes; nowhere by default, so that a satellite can be tried without a worker."""

    @property
    def idempotency_key(self) -> str:
        """The same for every attempt: give it to services that must not do the same thing twice."""
        return self.satellite_id

    def progress(self, fraction: float, message: str = "") -> None:
        """Tell whoever watches how far this attempt is, from 0 to 1, and in words.

        Cheap enough for every step of a loop: about ten a second are passed on, the latest each time, and none is kept.
        Raises ValueError for a fraction that is not between 0 and 1.
        """
        if not 0 <= fraction <= 1:
            raise ValueError(f"progress is a number from 0 to 1, not {fraction!r}")
        self.report(float(fraction), str(message))
