"""A parser of a server's WebSocket frames."""

from __future__ import annotations

import json
from typing import Any


def messages_in(data: bytes) -> list[dict[str, Any]]:
    """Read text frames, whole and unmasked, up to the end of the data."""
    found = []
    while data:
        assert data[0] == 0x81
        size, head = data[1], 2
        if size >= 126:
            head += 2 if size == 126 else 8
            size = int.from_bytes(data[2:head], "big")
        found.append(json.loads(data[head : head + size]))
        data = data[head + size :]
    return found
