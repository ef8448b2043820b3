"""Addresses of a listener, as URLs and as seen from this machine."""

from __future__ import annotations

LOOPBACK = "127.0.0.1"


def host_and_port(host: str, port: int) -> str:
    """Write an address with its port; IPv6 in brackets."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def reachable(host: str) -> str:
    """Return the address at which a listener on this one can be reached from here."""
    return {"": LOOPBACK, "0.0.0.0": LOOPBACK, "::": "::1"}.get(host, host)  # noqa: S104 - no listening here
