"""Fixtures of run-command."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import pytest

from state_manager.config import settings

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def python(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Allow this Python as a program, and yield its path."""
    monkeypatch.setenv("RUN_COMMANDS", f"{sys.executable},sh,missing-program")
    settings.cache_clear()
    yield sys.executable
    monkeypatch.undo()
    settings.cache_clear()
