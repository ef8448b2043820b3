"""The exceptions of the client.

StateManagerError
├── InvalidCluster     the submitted document has faults: `faults`, each with its path      400, 413, 415, 422
├── InvalidRequest     a filter, a limit, or another part of the request has faults         400, 405, 422
├── Unauthorized       the API key is missing, wrong, or lacks the permission               401, 403, close code 4401
├── NotFound           there is no such execution, satellite or artifact                    404, close code 4404
├── Gone               the artifact is known, but its bytes are not where they were written   410
├── Conflict           the present state forbids it, or the idempotency key is taken        409
├── Unavailable        no response, or 429, 502, 503, 504, until the client stopped retrying
└── ServerFailed       the server failed to respond; its log says why                       500, no JSON object
"""

from __future__ import annotations

from dataclasses import dataclass
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

import httpx

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


@dataclass(frozen=True, slots=True)
class Fault:
    """One fault of a request: its path, as `satellites[3].dependencies[0]` or a query parameter, and a message."""

    path: str
    message: str

    def __str__(self) -> str:
        """Format it as one line."""
        return f"{self.path}: {self.message}" if self.path else self.message


class StateManagerError(Exception):
    """The State Manager did not do what it was asked."""

    def __init__(self, message: str = "", faults: Sequence[Fault] = ()) -> None:
        super().__init__(message or (type(self).__doc__ or "").partition(".")[0])
        self.faults = tuple(faults)

    def __str__(self) -> str:
        """List the faults, one a line; without any, return the message."""
        lines = [str(fault) for fault in self.faults]
        return "\n".join(lines) if lines else str(self.args[0])


class InvalidCluster(StateManagerError):
    """The document is not a valid cluster. Nothing was recorded."""


class InvalidRequest(StateManagerError):
    """The State Manager does not accept the request."""


class Unauthorized(StateManagerError):
    """The API key is missing, wrong, or lacks the permission."""


class NotFound(StateManagerError):
    """There is no such execution or satellite."""


class Gone(StateManagerError):
    """The bytes of this artifact are no longer in their store."""


class Conflict(StateManagerError):
    """The present state does not allow that."""


class Unavailable(StateManagerError):
    """The State Manager does not respond.

    `may_have_taken_effect` is False where the request cannot have changed anything: no connection was made,
    or the server refused to handle it.
    """

    def __init__(self, message: str = "", *, may_have_taken_effect: bool = True) -> None:
        super().__init__(message)
        self.may_have_taken_effect = may_have_taken_effect


class ServerFailed(StateManagerError):
    """The server failed to respond. Its log says why."""


UNAVAILABLE_STATUSES = frozenset(
    {
        HTTPStatus.TOO_MANY_REQUESTS,
        HTTPStatus.BAD_GATEWAY,
        HTTPStatus.SERVICE_UNAVAILABLE,
        HTTPStatus.GATEWAY_TIMEOUT,
    }
)
"""Statuses of a server, or of a proxy in front of it, that should respond later."""

_CLASSES: dict[int, type[StateManagerError]] = {
    HTTPStatus.UNAUTHORIZED: Unauthorized,
    HTTPStatus.FORBIDDEN: Unauthorized,
    HTTPStatus.NOT_FOUND: NotFound,
    HTTPStatus.CONFLICT: Conflict,
    HTTPStatus.GONE: Gone,
}


def status_text(status: int) -> str:
    """Return a status with its phrase, if it has one: proxies have statuses of their own, such as 520."""
    return f"{status} {httpx.codes.get_reason_phrase(status)}".rstrip()


def error_of_response(status: int, payload: Mapping[str, Any], *, is_submission: bool = False) -> StateManagerError:
    """Return the exception for an error response, whose payload is `{"code", "status", "message", "errors"}`."""
    message = str(payload.get("message") or status_text(status))
    errors = payload.get("errors")  # a proxy's payload may hold anything under this name
    objects = [one for one in errors if isinstance(one, dict)] if isinstance(errors, list) else []
    faults = [Fault(str(one.get("path", "")), str(one.get("message", ""))) for one in objects]
    if status in UNAVAILABLE_STATUSES:
        # A rate limit refuses before it handles. The others may stand for a response that was lost on its way.
        return Unavailable(message, may_have_taken_effect=status != HTTPStatus.TOO_MANY_REQUESTS)
    if status in _CLASSES:
        return _CLASSES[status](message, faults)
    if status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        return ServerFailed(message, faults)
    return (InvalidCluster if is_submission else InvalidRequest)(message, faults)
