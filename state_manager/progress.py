"""How far an execution is: how many of its satellites have ended, from its counts or event by event. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from state_manager.states import TERMINAL

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(slots=True)
class Progress:
    """The number of satellites that have ended, however they did, by the event numbered `seq`."""

    seq: int
    ended: int
    total: int

    @classmethod
    def of(cls, row: Mapping[Any, Any]) -> Progress:
        """Read it from a row with an execution's counts; each is named after a terminal state."""
        return cls(row["seq"], sum(row[status] for status in TERMINAL), row["total"])

    @property
    def percent(self) -> float:
        """The satellites that have ended, from 0 to 100."""
        return round(100 * self.ended / self.total, 2)

    def advance(self, event: Mapping[Any, Any]) -> None:
        """Count the next event of the execution."""
        self.seq = event["seq"]
        if event["satellite_id"] is not None:
            self.ended += ended_by(event["kind"])


def ended_by(kind: str) -> int:
    """Return by how much a satellite's event changes the number that have ended: 1, -1 for a retry, else 0."""
    return (kind in TERMINAL) - (kind == "retried")
