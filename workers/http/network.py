"""Connections to checked addresses: a name is resolved once, and the connection goes to the very address checked.

A client that checks a name and then connects to it resolves twice, and whoever owns the name may answer differently
the second time (DNS rebinding). The TLS server name and the Host header stay those of the URL.
"""

from __future__ import annotations

import asyncio
import socket
from typing import TYPE_CHECKING

import httpcore

from exospherehost import ConfigurationError, TransientError
from workers.http.addresses import is_allowed

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from ipaddress import IPv4Network, IPv6Network

CONNECT_S = 10.0
"""Longest time to connect to one of the addresses of a name."""


class CheckedNetwork(httpcore.AsyncNetworkBackend):
    """Connects httpcore to hosts all of whose addresses are allowed."""

    def __init__(self, networks: Sequence[IPv4Network | IPv6Network]) -> None:
        self._networks = networks
        self._backend = httpcore.AnyIOBackend()

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ASYNC109  (httpcore's interface)
        local_address: str | None = None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        """Connect to the first address that accepts. Raises ConfigurationError where one of them is not allowed."""
        addresses = await checked_addresses(host, port, self._networks)
        limit = CONNECT_S if timeout is None else min(timeout, CONNECT_S)
        for address in addresses[:-1]:
            try:
                return await self._backend.connect_tcp(address, port, limit, local_address, socket_options)
            except (httpcore.ConnectError, httpcore.ConnectTimeout):
                continue  # the next address may accept; the last one's error is raised
        return await self._backend.connect_tcp(addresses[-1], port, limit, local_address, socket_options)


async def checked_addresses(host: str, port: int, networks: Sequence[IPv4Network | IPv6Network]) -> list[str]:
    """Resolve a name once, and return its addresses.

    Raises ConfigurationError where any of them is not allowed, TransientError where the name cannot be resolved.
    """
    addresses = await _resolve(host, port)
    check_addresses(host, addresses, networks)
    return addresses


def check_addresses(host: str, addresses: Iterable[str], networks: Sequence[IPv4Network | IPv6Network]) -> None:
    """Raise ConfigurationError where one of the addresses of a host is not allowed."""
    for address in addresses:
        if not is_allowed(address, networks):
            raise ConfigurationError(
                f"{host}: requests to {address} are not allowed: it is not a public address, and not in one of the "
                "worker's ALLOW_PRIVATE_ADDRESSES"
            )


async def _resolve(host: str, port: int) -> list[str]:
    try:
        found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except UnicodeError:
        raise ConfigurationError(f"{host!r} is not the name of a host") from None
    except socket.gaierror as error:
        raise TransientError(f"{host}: the name cannot be resolved: {error.strerror}") from None
    return list(dict.fromkeys(str(address[0]) for *_, address in found))
