"""The reply of a model (pure): read from a whole response, or put together from the events of a stream."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from exospherehost import TransientError

if TYPE_CHECKING:
    from collections.abc import Iterator

DONE = b"[DONE]"
TOKENS = ("prompt_tokens", "completion_tokens")


@dataclass(slots=True)
class Reply:
    """What a model answered; `usage` are the tokens of the request and of the answer, where the server counts them."""

    content: str = ""
    finish_reason: str | None = None
    model: str | None = None
    usage: dict[str, int] = field(default_factory=dict)

    def add(self, document: Any, part: str) -> None:
        """Add a response, whose choices have a `message`, or an event of a stream, whose choices have a `delta`.

        Raises TransientError where it reports an error, or is no such document.
        """
        try:
            if "error" in document:
                raise TransientError("the server reports an error instead of an answer")
            for choice in document["choices"][:1]:
                self.content += choice[part].get("content") or ""
                self.finish_reason = choice.get("finish_reason") or self.finish_reason
            self.model = document.get("model") or self.model
            used = document.get("usage") or {}
            self.usage |= {name: int(used[name]) for name in TOKENS if name in used}
        except (AttributeError, KeyError, TypeError, ValueError, IndexError):
            raise TransientError("the server's answer is not one of a chat completion") from None


def parse(body: bytes) -> Reply:
    """Read a whole response."""
    reply = Reply()
    reply.add(parse_json(body), "message")
    if reply.finish_reason is None and not reply.content:
        raise TransientError("the server's answer has no choice")
    return reply


def parse_json(text: bytes) -> Any:
    """Parse JSON; TransientError where it is none."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        raise TransientError("the server's answer is no JSON") from None


class EventLines:
    """Splits the bytes of a stream of server-sent events into the data of the events."""

    def __init__(self) -> None:
        self._rest = b""

    def feed(self, chunk: bytes) -> Iterator[bytes]:
        """Yield the data of each event that is complete now."""
        *lines, self._rest = (self._rest + chunk).split(b"\n")
        for line in lines:
            name, _, data = line.rstrip(b"\r").partition(b":")
            if name == b"data":
                yield data.strip()
