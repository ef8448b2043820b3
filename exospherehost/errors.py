"""The exceptions that a satellite can raise; their kinds decide whether another attempt is made.

SatelliteError
├── TransientError        a network or a service failed; another attempt may succeed    kind network_error
├── ResourceError         memory, storage or compute is lacking; as above, later        kind resource_unavailable
├── ConfigurationError    the configuration is wrong; no attempt can succeed            kind configuration_error
└── LogicError            the work failed; the retry policy decides                     kind logic_error
"""

from __future__ import annotations

import errno
import socket
from typing import ClassVar


class SatelliteError(Exception):
    """A satellite's attempt failed. `kind` is what `retry_on` lists; an instance may name its own."""

    default_kind: ClassVar[str] = "logic_error"

    def __init__(self, message: str = "", *, kind: str | None = None) -> None:
        super().__init__(message or (type(self).__doc__ or "").partition(".")[0])
        self.kind = kind or self.default_kind


class TransientError(SatelliteError):
    """A network or a service did not answer. Another attempt may succeed."""

    default_kind = "network_error"


class ResourceError(SatelliteError):
    """There is not enough memory, storage or compute. Another attempt may succeed later."""

    default_kind = "resource_unavailable"


class ConfigurationError(SatelliteError):
    """The configuration is wrong. No attempt can succeed."""

    default_kind = "configuration_error"


class LogicError(SatelliteError):
    """The work failed. The retry policy decides whether to try again."""

    default_kind = "logic_error"


class Prune(Exception):
    """Raised by a satellite that has nothing to do: it is skipped, and so is what depends on it. Nothing has failed."""


class RequeueAfter(Exception):
    """Raised by a satellite that is to run again in so many seconds, as to poll for something. Charges no attempt."""

    def __init__(self, seconds: float) -> None:
        if not 0 <= seconds < float("inf"):
            message = f"RequeueAfter takes a number of seconds from 0 on, not {seconds!r}"
            raise ValueError(message)
        super().__init__(seconds)
        self.seconds = float(seconds)


def kind_of(error: BaseException) -> str:
    """Return the kind of any exception that a satellite raised: an error's own, else by the exception's class."""
    if isinstance(error, SatelliteError):
        return error.kind
    for kind, classes in (
        ("timeout", TimeoutError),
        ("network_error", ConnectionError),
        ("resource_unavailable", MemoryError),
    ):
        if isinstance(error, classes):
            return kind
    return "network_error" if _is_network_error(error) else "logic_error"


def _is_network_error(error: BaseException) -> bool:
    """Tell whether an OSError comes from sockets or name resolution, and not from files."""
    unreachable = {errno.ENETDOWN, errno.ENETUNREACH, errno.ENETRESET, errno.EHOSTDOWN, errno.EHOSTUNREACH}
    return isinstance(error, socket.gaierror | socket.herror) or (
        isinstance(error, OSError) and error.errno in unreachable
    )
