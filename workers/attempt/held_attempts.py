"""The attempts that this process holds: claimed, and neither settled nor released yet."""

from __future__ import annotations

from dataclasses import dataclass
from threading import Lock
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable
    from uuid import UUID

    from state_manager.store.transitions import AttemptToken
    from workers.attempt.interrupts import Interruptible


@dataclass(slots=True, eq=False)
class HeldAttempt:
    """An attempt that this process holds in memory."""

    id: UUID
    claim: UUID
    run: Interruptible | None = None
    """The run of its own code, once that has begun."""
    taken_away: bool = False
    """True once this process knows that it no longer holds it: it was cancelled, or its lease expired."""
    deadline: float | None = None
    """The end of its timeout, on the monotonic clock; None while its own code does not run."""
    kill_at: float | None = None
    """The time by which it must have ended after an interruption; None until it is interrupted."""


class HeldAttempts:
    """The attempts of one process, by satellite and token.

    By token too, because threads of one process may hold the same satellite one after the other: the one whose
    attempt was released must not drop the attempt of the one that has claimed it since.
    """

    def __init__(self) -> None:
        self._held: dict[tuple[UUID, UUID], HeldAttempt] = {}
        self._lock = Lock()

    def hold(self, attempts: Iterable[AttemptToken]) -> None:
        """Add attempts that were just claimed."""
        with self._lock:
            for attempt in attempts:
                self._held[attempt.id, attempt.claim] = HeldAttempt(attempt.id, attempt.claim)

    def drop(self, attempts: Iterable[AttemptToken]) -> None:
        """Remove attempts that are settled or given up; those that are not held any more are passed over."""
        with self._lock:
            for attempt in attempts:
                self._held.pop((attempt.id, attempt.claim), None)

    def get(self, attempt: AttemptToken) -> HeldAttempt | None:
        """Look up an attempt; None where it is not held."""
        return self._held.get((attempt.id, attempt.claim))

    def all(self) -> list[HeldAttempt]:
        """List what is held now."""
        with self._lock:
            return list(self._held.values())

    def superseded(self) -> list[HeldAttempt]:
        """List attempts whose satellite this process has claimed again since: their own token is no longer valid."""
        latest = self.to_renew()
        return [held for held in self.all() if not held.taken_away and latest[held.id] is not held]

    def to_renew(self) -> dict[UUID, HeldAttempt]:
        """Return by satellite what still has a lease to renew; of two attempts of one satellite, the later claim."""
        return {held.id: held for held in self.all() if not held.taken_away}
