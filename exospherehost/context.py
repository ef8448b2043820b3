"""What a satellite is given when it runs."""

from __future__ import annotations

from dataclasses import dataclass
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

    @property
    def idempotency_key(self) -> str:
        """The same for every attempt: give it to services that must not do the same thing twice."""
        return self.satellite_id
