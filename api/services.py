"""What the views work with: the settings, PostgreSQL and Redis of this application."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from flask import current_app
from redis import Redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from api.bounded import Bounded
from state_manager.graph import Limits
from state_manager.retry import BackoffStrategy, RetryPolicy
from state_manager.store.engine import connect
from state_manager.store.fleet import Catalogue
from state_manager.submission import Defaults

if TYPE_CHECKING:
    from flask import Flask
    from sqlalchemy import Engine

    from state_manager.config import Settings

REDIS_TIMEOUT_S = 0.5
REDIS_URI = "redis://localhost:6379"
_EXTENSION = "state_manager"


@dataclass(frozen=True, slots=True)
class Services:
    """One application's settings and connections, made once by `create_app`."""

    settings: Settings
    engine: Engine
    redis: Redis
    catalogue: Catalogue
    broker: Bounded = field(default_factory=lambda: Bounded(8))
    checks: Bounded = field(default_factory=lambda: Bounded(8))

    @property
    def defaults(self) -> Defaults:
        """What holds where a cluster says nothing."""
        ours = self.settings
        retry = RetryPolicy(
            max_attempts=ours.retry_attempts,
            backoff_strategy=BackoffStrategy(ours.retry_backoff_strategy),
            base_delay=ours.retry_delay_s,
        )
        return Defaults(retry, ours.execution_timeout_s)

    @property
    def limits(self) -> Limits:
        """How large a cluster may be here."""
        return Limits(self.settings.max_satellites, self.settings.max_edges, self.settings.max_depth)


def install(app: Flask, settings: Settings, database_uri: str) -> None:
    """Give the application its services. Nothing connects before it is needed."""
    engine = connect(database_uri, pool_size=settings.database_pool_size)
    app.extensions[_EXTENSION] = Services(
        settings=settings,
        engine=engine,
        catalogue=Catalogue(engine),
        redis=Redis.from_url(
            settings.redis_uri or REDIS_URI,
            max_connections=settings.redis_pool_size,
            socket_timeout=REDIS_TIMEOUT_S,
            socket_connect_timeout=REDIS_TIMEOUT_S,
            retry=Retry(NoBackoff(), 0),
        ),
    )


def services() -> Services:
    """Return the services of the application that handles this request."""
    found: Services = current_app.extensions[_EXTENSION]
    return found
