"""`satellite/exospherehost/call-webhook`: sends an HTTP request to a service, and returns its response."""

from __future__ import annotations

import asyncio
import json
import re
import time
from typing import TYPE_CHECKING, Any

from exospherehost import ConfigurationError, TransientError, satellite
from state_manager.config import settings
from workers.http import redirects
from workers.http.client import MAX_URL_CHARACTERS, Request, Response, open_client, origin, parse_url
from workers.http.redirects import Follow
from workers.http.signature import HEADER, signature
from workers.http.statuses import failure

if TYPE_CHECKING:
    from collections.abc import Mapping

    from exospherehost import Context

SCHEMA = {
    "type": "object",
    "properties": {
        "url": {"type": "string", "minLength": 1, "maxLength": MAX_URL_CHARACTERS},
        "method": {"enum": ["POST", "PUT", "PATCH", "DELETE", "GET", "HEAD"]},
        "headers": {"type": "object", "additionalProperties": {"type": "string"}, "maxProperties": 100},
        "body": {},
        "timeout": {"type": "number", "exclusiveMinimum": 0, "maximum": 3600},
        "expected_statuses": {
            "type": "array",
            "items": {"type": "integer", "minimum": 200, "maximum": 599},
            "minItems": 1,
            "maxItems": 100,
        },
        "max_response_bytes": {"type": "integer", "minimum": 0, "maximum": 64 * 2**20},
        "follow_redirects": {"enum": list(Follow)},
        "signing_secret": {"type": "string", "minLength": 1},
    },
    "required": ["url"],
    "additionalProperties": False,
}

TIMEOUT_S = 30
MAX_RESPONSE_BYTES = 256 * 1024
METHODS_WITH_BODY = frozenset({"POST", "PUT", "PATCH"})
OURS = frozenset(
    {"host", "content-length", "transfer-encoding", "connection", "upgrade", "te", "trailer", "expect", HEADER.lower()}
)
"""Headers that a configuration may not set, in lower case."""

_HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_HEADER_VALUE = re.compile(r"[\t\x20-\x7e]*")
SUCCESS = range(200, 300)


@satellite("satellite/exospherehost/call-webhook", config_schema=SCHEMA)
async def call_webhook(context: Context) -> dict[str, Any]:
    """Send a request, and return its `status`, the `headers` of the response and its `body`.

    The body is JSON where the response says so, else text. Without a `body` in the configuration a POST, PUT or PATCH
    sends the satellite's input.
    """
    config = context.config
    request = _request(context)
    where, limit_s = origin(request.url), config.get("timeout", TIMEOUT_S)
    try:
        async with asyncio.timeout(limit_s), open_client(settings().allow_private_addresses) as client:
            follow = Follow(config.get("follow_redirects", Follow.NONE))
            max_bytes = config.get("max_response_bytes", MAX_RESPONSE_BYTES)
            response = await redirects.send(client, request, follow, max_bytes)
    except TimeoutError:
        raise TransientError(f"{where}: no complete answer within {limit_s:g} s") from None
    if response.status not in config.get("expected_statuses", SUCCESS):
        raise failure(response.status, response.headers, where)
    context.log.info("%s %s: %d, %d bytes", request.method, where, response.status, len(response.body))
    return _output(response)


def _request(context: Context) -> Request:
    config = context.config
    method = config.get("method", "POST")
    url = parse_url(config["url"])
    body = b""
    if "body" in config or method in METHODS_WITH_BODY:
        body = _json(config.get("body", context.input))
    given = _checked_headers(config.get("headers", {}))
    headers = {"User-Agent": "exospherehost", "Accept": "application/json, */*;q=0.5"}
    headers |= {"Idempotency-Key": context.idempotency_key}
    headers |= {"Content-Type": "application/json"} if body else {}
    taken = {name.lower() for name in given}
    headers = {name: text for name, text in headers.items() if name.lower() not in taken} | given
    if secret := config.get("signing_secret"):
        headers[HEADER] = signature(secret, int(time.time()), body)
    return Request(method, url, headers, body)


def _json(value: Any) -> bytes:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "backslashreplace")


def _checked_headers(headers: Mapping[str, str]) -> dict[str, str]:
    """Refuse headers that would break the request; the message leaves out their values."""
    for name, text in headers.items():
        if not _HEADER_NAME.fullmatch(name) or not _HEADER_VALUE.fullmatch(text):
            raise ConfigurationError(f"headers: {name!r} has an illegal name or value")
        if name.lower() in OURS:
            raise ConfigurationError(f"headers: {name!r} may not be set")
    return dict(headers)


def _output(response: Response) -> dict[str, Any]:
    headers = {name: text for name, text in response.headers.items() if name != "set-cookie"}
    return {"status": response.status, "headers": headers, "body": _parsed(response)}


def _parsed(response: Response) -> Any:
    kind = response.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind == "application/json" or kind.endswith("+json"):
        try:
            return json.loads(response.body)
        except (ValueError, RecursionError):
            pass  # what is no JSON is returned as text
    return response.body.decode("utf-8", "replace").replace("\0", "\ufffd")
