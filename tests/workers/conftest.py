"""Celery's application on a broker in memory and the test's own database, in this process."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from kombu import pools

from state_manager.config import settings
from tests.workers.broker import Broker
from workers import process, registry
from workers.app import app

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def broker(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, database_uri: str) -> Iterator[Broker]:
    """Yield the broker of tasks that run in this process, one by one as the test says.

    Its parameter is the time slice in milliseconds: none by default, so that each satellite has a message.
    """
    monkeypatch.setenv("TIME_SLICE_MS", str(getattr(request, "param", 0)))
    monkeypatch.setenv("DATABASE_URI", database_uri)
    monkeypatch.setenv("SATELLITE_MODULES", "tests.satellites")
    known_broker = app.conf.broker_url
    _forget()
    app.conf.broker_url = "memory://"
    app.loader.import_default_modules()
    with app.connection_for_read() as connection:
        broker = Broker(connection)
        broker.take()
        yield broker
    process.engine().dispose()
    app.conf.broker_url = known_broker
    monkeypatch.undo()
    _forget()


def _forget() -> None:
    """Let go of settings and connections, so that they are made anew when next used."""
    pools.reset()
    app._after_fork()
    process._current.clear()
    settings.cache_clear()
    registry.discover.cache_clear()
