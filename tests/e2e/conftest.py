"""A whole system for a file of tests: an API and a worker with two children."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.system import System, fresh_system

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="module")
def system(postgres: str, template: str) -> Iterator[System]:
    """Yield a running system."""
    with fresh_system(postgres, template) as system:
        system.start_worker()
        system.start_beat()
        system.start_api()
        yield system
