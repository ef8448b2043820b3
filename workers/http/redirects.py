"""Redirects: followed only where the configuration allows it, hop by hop, each with its address checked again."""

from __future__ import annotations

from dataclasses import replace
from enum import StrEnum
from typing import TYPE_CHECKING

import httpx

from exospherehost import ConfigurationError
from workers.http import signature
from workers.http.client import checked_url, origin

if TYPE_CHECKING:
    from workers.http.client import Client, Request, Response

STATUSES = (301, 302, 303, 307, 308)
MAX_HOPS = 5
SEE_OTHER = 303
POST_BECOMES_GET = (301, 302)

KEPT_ELSEWHERE = frozenset({"content-type", "accept", "user-agent", "idempotency-key"})
"""Headers that are sent to another origin than the configured one, in lower case; others may hold credentials."""

OF_THE_BODY = frozenset({"content-type", signature.HEADER.lower()})


class Follow(StrEnum):
    """The redirects that are followed."""

    NONE = "none"
    SAME_ORIGIN = "same-origin"
    """Those to the same host and port, or from http to https there."""
    ANY = "any"
    """All but those from https to http; only harmless headers are sent to another origin."""


async def send(client: Client, request: Request, follow: Follow, max_bytes: int) -> Response:
    """Send a request, and follow redirects as allowed; return the first response that is not followed.

    Raises ConfigurationError where a redirect leads to what is not allowed, or after `MAX_HOPS` of them.
    """
    for _ in range(MAX_HOPS + 1):
        response = await client.send(request, max_bytes, unread=STATUSES)
        location = response.headers.get("location")
        if response.status not in STATUSES or location is None or follow is Follow.NONE:
            return response
        request = redirected(request, response.status, location, follow)
    raise ConfigurationError(f"{origin(request.url)}: more than {MAX_HOPS} redirects")


def redirected(request: Request, status: int, location: str, follow: Follow) -> Request:
    """Return the request that a redirect asks for; ConfigurationError where it may not be sent."""
    where = origin(request.url)
    try:
        target = checked_url(request.url.join(location))
    except (httpx.InvalidURL, ConfigurationError):
        raise ConfigurationError(f"{where}: redirects to what is not a usable URL") from None
    if request.url.scheme == "https" and target.scheme == "http":
        raise ConfigurationError(f"{where}: redirects to {origin(target)}, from https to http: not followed")
    elsewhere = not _is_same_origin(request.url, target)
    if elsewhere and follow is not Follow.ANY:
        raise ConfigurationError(f"{where}: redirects to another origin, {origin(target)}: not followed")
    headers = dict(request.headers)
    if elsewhere:
        headers = {name: text for name, text in headers.items() if name.lower() in KEPT_ELSEWHERE}
    if status == SEE_OTHER or (status in POST_BECOMES_GET and request.method == "POST"):
        headers = {name: text for name, text in headers.items() if name.lower() not in OF_THE_BODY}
        request = replace(request, method="HEAD" if request.method == "HEAD" else "GET", body=b"")
    return replace(request, url=target, headers=headers)


def _is_same_origin(before: httpx.URL, after: httpx.URL) -> bool:
    """Tell whether host and port are the same; from http to https on the usual ports counts as that."""
    return before.host == after.host and before.port == after.port
