"""WebSocket frames as bytes, so that one frame can be sent to many clients. Pure."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

PING = b"\x89\x00"

FRAME_BYTES = 256 * 1024
"""Events that share a frame stay below this, or below it with the last of them: clients refuse what is too large."""

_FINAL_TEXT = 0x81
_TWO_BYTES, _EIGHT_BYTES = 126, 127


def encode(value: Mapping[str, Any]) -> bytes:
    """Write a value as JSON."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()


def text(payload: bytes) -> bytes:
    """Frame a text message as a server does, unmasked and whole (RFC 6455, section 5.2)."""
    length = len(payload)
    if length < _TWO_BYTES:
        header = bytes((_FINAL_TEXT, length))
    elif length < 1 << 16:
        header = bytes((_FINAL_TEXT, _TWO_BYTES)) + length.to_bytes(2, "big")
    else:
        header = bytes((_FINAL_TEXT, _EIGHT_BYTES)) + length.to_bytes(8, "big")
    return header + payload


def of_events(bodies: Iterable[bytes]) -> Iterator[bytes]:
    """Frame events that follow each other: several share a frame, as long as that stays below `FRAME_BYTES`."""
    return map(text, map(_together, _parts(bodies)))


def _parts(bodies: Iterable[bytes]) -> Iterator[list[bytes]]:
    part: list[bytes] = []
    size = 0
    for body in bodies:
        part.append(body)
        size += len(body)
        if size >= FRAME_BYTES:
            yield part
            part, size = [], 0
    if part:
        yield part


def _together(bodies: list[bytes]) -> bytes:
    if len(bodies) == 1:
        return bodies[0]
    return b'{"type":"events","events":[' + b",".join(bodies) + b"]}"
