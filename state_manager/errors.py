"""The exceptions of the State Manager, as one tree.

StateManagerError
├── ConfigurationFault  the settings have faults
├── InvalidDocument     the submitted cluster has faults, each with its path
├── InvalidQuery        a filter, a limit or a cursor is unusable
├── NotFound            no such execution or satellite
├── BytesMissing        an artifact is known, but its bytes are not where they were written
├── LocationFailed      the location of artifacts does not take or give what it should
│   ├── LocationRefused its address or its credentials are wrong
│   └── LocationFull    no space is left there
├── Conflict            the request contradicts the state that it meets
│   └── KeyReused       an idempotency key came back with another document
├── ExpressionError     an expression cannot be read, or has no value
├── LateOutcome         a worker reports an attempt that is no longer its own
└── StoreUnavailable    PostgreSQL does not answer
    └── NotMigrated     its tables or functions are not those of this version
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable


@dataclass(frozen=True, slots=True, order=True)
class Fault:
    """One fault of a submitted document: where (`satellites[2].uses`), and what is wrong there."""

    path: str
    message: str


def as_path(steps: Iterable[str | int]) -> str:
    """Write a path into a document as faults have it: `satellites[3].dependencies[0]`."""
    path = "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in steps)
    return path.removeprefix(".")


class StateManagerError(Exception):
    """The State Manager could not do what was asked."""

    def __init__(self, message: str | None = None) -> None:
        super().__init__(message or (type(self).__doc__ or "").strip())


class ConfigurationFault(StateManagerError, ValueError):
    """The configuration has faults: the message lists all of them."""

    def __init__(self, faults: Iterable[str]) -> None:
        self.faults = tuple(faults)
        super().__init__("\n".join(self.faults))


class _FaultyInput(StateManagerError):
    def __init__(self, faults: Iterable[Fault]) -> None:
        self.faults = sorted(faults)
        super().__init__("; ".join(f"{fault.path}: {fault.message}" for fault in self.faults))


class InvalidDocument(_FaultyInput):
    """The document has faults."""


class InvalidQuery(_FaultyInput):
    """The query has faults."""


class NotFound(StateManagerError):
    """There is no such thing."""


class BytesMissing(StateManagerError):
    """The bytes of an artifact are not where they were written."""


class LocationFailed(StateManagerError):
    """The location of artifacts does not take or give what it should."""


class LocationRefused(LocationFailed):
    """The location of artifacts is misconfigured, or this process may not use it."""


class LocationFull(LocationFailed):
    """There is no space left at the location of artifacts."""


class Conflict(StateManagerError):
    """The request contradicts the present state."""


class KeyReused(Conflict):
    """This idempotency key was used for another document."""


class ExpressionError(StateManagerError):
    """An expression cannot be read, or has no value; the message shows the expression and why, never a value."""

    def __init__(self, expression: str, reason: str) -> None:
        self.expression = expression
        self.reason = reason
        super().__init__(f"${{{{ {expression} }}}}: {reason}")


class LateOutcome(StateManagerError):
    """This attempt was taken away from its worker; what it returned late changes nothing."""


class StoreUnavailable(StateManagerError):
    """The database does not answer. What was asked may have been done: send it again with its Idempotency-Key."""


class NotMigrated(StoreUnavailable):
    """The database is not migrated: run python -m state_manager.store.migrate, or run.py, which does so."""
