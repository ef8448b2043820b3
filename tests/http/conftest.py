"""Fixtures of the satellites that call other services."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from state_manager.config import settings
from tests.http.servers import authority
from workers.http.client import tls

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    import trustme


@pytest.fixture
def allow(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], None]]:
    """Yield a function that sets ALLOW_PRIVATE_ADDRESSES."""

    def set_networks(networks: str) -> None:
        monkeypatch.setenv("ALLOW_PRIVATE_ADDRESSES", networks)
        settings.cache_clear()

    settings.cache_clear()
    yield set_networks
    monkeypatch.undo()
    settings.cache_clear()


@pytest.fixture
def loopback(allow: Callable[[str], None]) -> None:
    """Allow requests to 127.0.0.1, and to no other private address."""
    allow("127.0.0.1")


@pytest.fixture
def trusted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[trustme.CA]:
    """Yield an authority whose certificates the satellites trust."""
    made, file = authority(tmp_path)
    monkeypatch.setenv("SSL_CERT_FILE", str(file))
    tls.cache_clear()
    yield made
    tls.cache_clear()
