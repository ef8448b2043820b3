"""Retry policies: whether a failed attempt is worth another, and how long to wait before it. Pure."""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

NEVER_RETRIED = "configuration_error"
"""The kind of error that no other attempt can avoid."""

MAX_ATTEMPTS = 101
"""One run, and `retries: 100`."""


class BackoffStrategy(StrEnum):
    """The growth of the delay with the number of attempts."""

    FIXED = "fixed"
    LINEAR = "linear"
    EXPONENTIAL = "exponential"


class ErrorKind(StrEnum):
    """The built-in kinds of errors, for `retry_on`; a satellite's error may name a kind of its own."""

    TIMEOUT = "timeout"
    """Transient: it took longer than its `timeout`, or something that it called did."""
    NETWORK_ERROR = "network_error"
    """Transient: a network or a service did not answer."""
    RESOURCE_UNAVAILABLE = "resource_unavailable"
    """Resource: too little memory, storage or compute."""
    LOGIC_ERROR = "logic_error"
    """Logic: the work itself failed."""
    CONFIGURATION_ERROR = "configuration_error"
    """Configuration: the satellite was asked for what it cannot do."""
    WORKER_LOST = "worker_lost"
    """The process that ran it is gone. Retried whatever `retry_on` says, while attempts are left."""


DEFAULT_RETRY_ON = frozenset(
    {ErrorKind.TIMEOUT, ErrorKind.NETWORK_ERROR, ErrorKind.RESOURCE_UNAVAILABLE, ErrorKind.LOGIC_ERROR}
)


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """A retry policy: the number of attempts, the kinds of errors to retry after, and the delays.

    `max_attempts` counts the first run: 3 is one run and two more. Delays are in seconds.
    """

    max_attempts: int = 3
    backoff_strategy: BackoffStrategy = BackoffStrategy.EXPONENTIAL
    base_delay: float = 5
    max_delay: float = 300
    jitter: bool = True
    retry_on: frozenset[str] = DEFAULT_RETRY_ON

    def overridden(self, *overrides: Mapping[str, Any]) -> RetryPolicy:
        """Return this policy with the fields that the overrides set; the last of them wins."""
        changes: dict[str, Any] = {}
        for one in overrides:
            changes |= one
        if "retry_on" in changes:
            changes["retry_on"] = frozenset(changes["retry_on"])
        return replace(self, **changes)

    def retries(self, kind: str, attempt: int) -> bool:
        """Tell whether an attempt, counted from 1, that failed so is worth another."""
        if attempt >= self.max_attempts or kind == NEVER_RETRIED:
            return False
        return kind in self.retry_on or kind == ErrorKind.WORKER_LOST

    def wait_s(self, attempt: int, chance: float) -> float:
        """Return the seconds to wait after a failed attempt, counted from 1.

        Fixed b, linear b·n, exponential b·2^(n-1), at most `max_delay`; with jitter times a number between a
        half and one, which `chance`, uniform in [0, 1), picks.
        """
        match self.backoff_strategy:
            case BackoffStrategy.FIXED:
                wait_s = self.base_delay
            case BackoffStrategy.LINEAR:
                wait_s = self.base_delay * attempt
            case BackoffStrategy.EXPONENTIAL:
                wait_s = self.base_delay * 2.0 ** min(attempt - 1, MAX_ATTEMPTS)
        return min(wait_s, self.max_delay) * (0.5 + chance / 2 if self.jitter else 1)

    def as_json(self) -> dict[str, Any]:
        """Return it as the document has it."""
        return {
            "max_attempts": self.max_attempts,
            "backoff_strategy": self.backoff_strategy,
            "base_delay": self.base_delay,
            "max_delay": self.max_delay,
            "jitter": self.jitter,
            "retry_on": sorted(self.retry_on),
        }

    @classmethod
    def from_json(cls, document: dict[str, Any]) -> RetryPolicy:
        """Read what `as_json` wrote."""
        return cls(
            **document
            | {
                "backoff_strategy": BackoffStrategy(document["backoff_strategy"]),
                "retry_on": frozenset(document["retry_on"]),
            }
        )
