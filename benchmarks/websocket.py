"""A WebSocket client with little overhead, so that benchmarks measure the server."""

from __future__ import annotations

import json
import socket
from typing import IO, TYPE_CHECKING, Any
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from collections.abc import Iterator

TEXT, CLOSE = 0x81, 0x88
TWO_BYTES = 126


def handshake(uri: str, path: str) -> bytes:
    """Write the request for a WebSocket."""
    return (
        f"GET {path} HTTP/1.1\r\nHost: {urlsplit(uri).netloc}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    ).encode()


def events(uri: str, path: str) -> Iterator[dict[str, Any]]:
    """Watch this path of an API to the end, and yield its events."""
    address = urlsplit(uri)
    with socket.create_connection((address.hostname or "", address.port or 0), 120) as connection:
        connection.sendall(handshake(uri, path))
        with connection.makefile("rb") as stream:
            while stream.readline().strip():
                pass
            for payload in _texts(stream):
                message = json.loads(payload)
                yield from message.get("events", [message] if message["type"] == "event" else [])


def _texts(stream: IO[bytes]) -> Iterator[bytes]:
    while head := stream.read(2):
        opcode, size = head
        if size >= TWO_BYTES:
            size = int.from_bytes(stream.read(2 if size == TWO_BYTES else 8), "big")
        payload = stream.read(size)
        if opcode == CLOSE:
            return
        if opcode == TEXT:
            yield payload
