"""The errors of object stores as a satellite's own.

An error of obstore shows the request, the response's body and the configuration, so that a signature, a session token
or a key may stand in it. What is raised here is written anew from the status and the service's error code alone, and
without the original in its traceback.
"""

from __future__ import annotations

import re
from contextlib import contextmanager
from typing import TYPE_CHECKING

from obstore import exceptions

from exospherehost import ConfigurationError, SatelliteError, TransientError

if TYPE_CHECKING:
    from collections.abc import Iterator

_STATUS = re.compile(r"status code: (\d{3})")
_CODE = re.compile(r"<Code>(\w{1,100})</Code>|\"(?:code|reason)\":\s*\"(\w{1,100})\"")
_INVALID_PATH = re.compile(r'(?:Path|path:) ("(?:[^"\\]|\\.)*")')
_METADATA_SERVICES = ("169.254.169.254", "169.254.170.2", "metadata.google.internal")

NOT_FOUND, REQUEST_TIMEOUT, TOO_MANY_REQUESTS, SERVER_ERROR = 404, 408, 429, 500
UNAUTHENTICATED, FORBIDDEN = 401, 403

CREDENTIALS_HINT = "credentials come from the configuration, else from the worker's environment (AWS_ACCESS_KEY_ID, …)"


@contextmanager
def store_errors(uri: str) -> Iterator[None]:
    """Raise what obstore raises in this block as a satellite's error about this URI, without any secret.

    ConfigurationError where another attempt cannot succeed: refused credentials, nothing at that place, a key that
    obstore cannot handle. TransientError for throttling, errors of the server and of the network.
    """
    try:
        yield
    except (exceptions.BaseError, FileNotFoundError, PermissionError, ValueError) as error:
        raise translated(error, uri) from None


def translated(error: Exception, uri: str) -> SatelliteError:
    """Write an error of obstore anew; see `store_errors`."""
    text = str(error)
    found = _STATUS.search(text)
    status = int(found[1]) if found else None
    if isinstance(error, exceptions.NotFoundError | FileNotFoundError):
        status = NOT_FOUND
    if isinstance(error, exceptions.PermissionDeniedError | exceptions.UnauthenticatedError | PermissionError):
        status = status or FORBIDDEN
    detail = _detail(status, text)
    if any(service in text for service in _METADATA_SERVICES):
        return ConfigurationError(f"{uri}: there are no credentials; {CREDENTIALS_HINT}, or set anonymous")
    if isinstance(error, exceptions.InvalidPathError | ValueError) and (path := _INVALID_PATH.search(text)):
        return ConfigurationError(
            f"{uri}: the key {path[1]} cannot be handled: empty segments ('//'), '.', '..' and control characters "
            "are not supported"
        )
    if status is None:
        return _without_status(error, uri)
    if status in {TOO_MANY_REQUESTS, REQUEST_TIMEOUT} or status >= SERVER_ERROR:
        return TransientError(f"{uri}: the store is unavailable{detail}")
    if status in {UNAUTHENTICATED, FORBIDDEN} or "Token" in detail:
        return ConfigurationError(f"{uri}: access denied{detail}; {CREDENTIALS_HINT}")
    refused = "it does not exist" if status == NOT_FOUND else "the store refuses the request"
    return ConfigurationError(f"{uri}: {refused}{detail}")


def _without_status(error: Exception, uri: str) -> SatelliteError:
    """Tell a failure of the network from whatever else has no HTTP status."""
    if isinstance(error, exceptions.GenericError):
        return TransientError(f"{uri}: the store does not answer")
    return ConfigurationError(f"{uri}: {type(error).__name__}: the store cannot be used so")


def _detail(status: int | None, text: str) -> str:
    code = _CODE.search(text)
    parts = [str(part) for part in (status, code and (code[1] or code[2])) if part]
    return f" ({' '.join(parts)})" if parts else ""
