"""Fixtures of the client's tests: the address of the shared system, as the default of clients."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.system import System


@pytest.fixture
def uri(system: System, monkeypatch: pytest.MonkeyPatch) -> str:
    """Make the system the one that clients find by default."""
    uri = f"http://127.0.0.1:{system.port}"
    monkeypatch.setenv("EXOSPHERE_STATE_MANAGER_URI", uri)
    return uri
