"""What a satellite can raise, and what that says about trying again.

SatelliteError
├── TransientError        the world was in the way; another attempt may pass     kind network_error
├── ResourceError         there was too little of something                     kind resource_unavailable
├── ConfigurationError    the satellite was asked for what it cannot do         kind configuration_error
└── LogicError            the work itself failed                                kind logic_error
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
    """A network or a service did not answer. Worth another attempt."""

    default_kind = "network_error"


class ResourceError(SatelliteError):
    """There is not enough memory, storage or compute. Worth another attempt after a while."""

    default_kind = "resource_unavailable"


class ConfigurationError(SatelliteError):
    """The configuration is wrong. No other attempt will pass."""

    default_kind = "configuration_error"


class LogicError(SatelliteError):
    """The work failed. Whether to try again is the cluster's to say."""

    default_kind = "logic_error"


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
    return "network_error" if _is_of_the_network(error) else "logic_error"


def _is_of_the_network(error: BaseException) -> bool:
    """Tell an OSError of sockets and names from one of files: `socket.gaierror`, `EHOSTUNREACH` and their like."""
    unreachable = {errno.ENETDOWN, errno.ENETUNREACH, errno.ENETRESET, errno.EHOSTDOWN, errno.EHOSTUNREACH}
    return isinstance(error, socket.gaierror | socket.herror) or (
        isinstance(error, OSError) and error.errno in unreachable
    )
