"""The progress of an execution: the number of its ended satellites, from its counts or event by event. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from state_manager.states import TERMINAL

if TYPE_CHECKING:
    from uuid import UUID


EXPANDED = "expanded"
"""Kind of the event with which an execution has more satellites, `data["children"]` of them."""


class Counts(Protocol):
    """An execution's last seq and the numbers of its satellites, in all and by how they ended."""

    @property
    def seq(self) -> int: ...  # noqa: D102
    @property
    def total(self) -> int: ...  # noqa: D102
    @property
    def completed(self) -> int: ...  # noqa: D102
    @property
    def failed(self) -> int: ...  # noqa: D102
    @property
    def skipped(self) -> int: ...  # noqa: D102
    @property
    def cancelled(self) -> int: ...  # noqa: D102


class Change(Protocol):
    """An event of an execution."""

    @property
    def seq(self) -> int: ...  # noqa: D102
    @property
    def satellite_id(self) -> UUID | None: ...  # noqa: D102
    @property
    def kind(self) -> str: ...  # noqa: D102
    @property
    def data(self) -> dict[str, Any] | None: ...  # noqa: D102


@dataclass(slots=True)
class Progress:
    """The number of satellites at the event numbered `seq`, and of those that had ended, in whichever state."""

    seq: int
    ended: int
    total: int

    @classmethod
    def of(cls, counts: Counts) -> Progress:
        """Read it from an execution's counts."""
        ended = counts.completed + counts.failed + counts.skipped + counts.cancelled
        return cls(counts.seq, ended, counts.total)

    @property
    def percent(self) -> float:
        """The satellites that have ended, from 0 to 100."""
        return round(100 * self.ended / self.total, 2)

    def advance(self, event: Change) -> None:
        """Count the next event of the execution."""
        self.seq = event.seq
        if event.satellite_id is not None:
            self.ended += ended_by(event.kind)
        if event.kind == EXPANDED and event.data is not None:
            self.total += event.data["children"]


def ended_by(kind: str) -> int:
    """Return by how much a satellite's event changes the number that have ended: 1, -1 for a retry, else 0."""
    return (kind in TERMINAL) - (kind == "retried")
