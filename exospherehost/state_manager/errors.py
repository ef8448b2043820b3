"""What calls of the State Manager raise.

StateManagerError
├── InvalidCluster     the submitted document has faults: `faults`, each with its path      400, 413, 415, 422
├── InvalidRequest     a filter, a limit, or another part of the request has faults         400, 405, 422
├── Unauthorized       the API key is missing, wrong, or not good for this                  401, 403, close code 4401
├── NotFound           there is no such execution or satellite                              404, close code 4404
├── Conflict           it contradicts the present state, or the key was used before         409
├── Unavailable        no answer, or 429, 502, 503, 504, as long as the client's patience lasted
└── ServerFailed       the server could not answer, and its log says why                    500, no JSON object
"""

from __future__ import annotations

from dataclasses import dataclass
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, ClassVar

import httpx

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


@dataclass(frozen=True, slots=True)
class Fault:
    """One fault of a request: where, as `satellites[3].dependencies[0]` or a query parameter, and what."""

    path: str
    message: str

    def __str__(self) -> str:
        """Write it on one line."""
        return f"{self.path}: {self.message}" if self.path else self.message


class StateManagerError(Exception):
    """The State Manager did not do what it was asked. `code` is the HTTP status, if there was an answer."""

    code: ClassVar[int | None] = None

    def __init__(self, message: str = "", faults: Sequence[Fault] = ()) -> None:
        super().__init__(message or (type(self).__doc__ or "").partition(".")[0])
        self.faults = tuple(faults)

    def __str__(self) -> str:
        """Name every fault, a line each, or say the message alone."""
        lines = [str(fault) for fault in self.faults]
        return "\n".join(lines) if lines else str(self.args[0])


class InvalidCluster(StateManagerError):
    """The document is no cluster. Nothing was recorded."""


class InvalidRequest(StateManagerError):
    """The request is not one that the State Manager understands."""


class Unauthorized(StateManagerError):
    """The API key is missing, wrong, or not good for this."""


class NotFound(StateManagerError):
    """There is no such thing."""


class Conflict(StateManagerError):
    """The present state does not allow that."""


class Unavailable(StateManagerError):
    """The State Manager does not answer.

    `may_have_arrived` is False where no connection came about, so that nothing can have happened.
    """

    def __init__(self, message: str = "", *, may_have_arrived: bool = True) -> None:
        super().__init__(message)
        self.may_have_arrived = may_have_arrived


class ServerFailed(StateManagerError):
    """The server failed to answer. Its log says why."""


AWAY = frozenset(
    {
        HTTPStatus.TOO_MANY_REQUESTS,
        HTTPStatus.BAD_GATEWAY,
        HTTPStatus.SERVICE_UNAVAILABLE,
        HTTPStatus.GATEWAY_TIMEOUT,
    }
)
"""Statuses of a server, or of a proxy before it, that will answer later."""

_CLASSES: dict[int, type[StateManagerError]] = {
    HTTPStatus.UNAUTHORIZED: Unauthorized,
    HTTPStatus.FORBIDDEN: Unauthorized,
    HTTPStatus.NOT_FOUND: NotFound,
    HTTPStatus.CONFLICT: Conflict,
}


def said(code: int) -> str:
    """Write a status with its phrase, where it has one: proxies have statuses of their own, such as 520."""
    return f"{code} {httpx.codes.get_reason_phrase(code)}".rstrip()


def error_of(code: int, payload: Mapping[str, Any], *, submitted: bool = False) -> StateManagerError:
    """Make the exception of an answer that is an error, as `{"code", "status", "message", "errors"}`."""
    message = str(payload.get("message") or said(code))
    errors = payload.get("errors")  # of a proxy, perhaps: then they may be anything
    found = [one for one in errors if isinstance(one, dict)] if isinstance(errors, list) else []
    faults = [Fault(str(one.get("path", "")), str(one.get("message", ""))) for one in found]
    if code in AWAY:
        return Unavailable(message)
    if code in _CLASSES:
        return _CLASSES[code](message, faults)
    if code >= HTTPStatus.INTERNAL_SERVER_ERROR:
        return ServerFailed(message, faults)
    return (InvalidCluster if submitted else InvalidRequest)(message, faults)
