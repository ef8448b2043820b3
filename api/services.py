"""What the views work with: the settings, PostgreSQL and Redis of this application."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from flask import current_app

from api.best_effort import BestEffortDispatcher
from api.deadline_executor import DeadlineExecutor
from api.live.hub import Hub
from api.live.single_flight import SingleFlightCache
from state_manager.graph import Limits
from state_manager.lifecycle import Lifecycle
from state_manager.notifications import Notifier
from state_manager.redis import connect_redis
from state_manager.retry import BackoffStrategy, RetryPolicy
from state_manager.store.engine import connect
from state_manager.store.satellite_types import SatelliteTypeCache
from state_manager.submission import Defaults
from workers.dispatch.dispatcher import Dispatcher
from workers.dispatch.durations import UsualDurations

if TYPE_CHECKING:
    from uuid import UUID

    from flask import Flask
    from redis import Redis
    from sqlalchemy import Engine

    from state_manager.config import Settings

SNAPSHOT_S = 0.5
"""So long watchers who come together are shown the same: whatever happened since, they get as events."""

MEASURED_S = 1.5
_EXTENSION = "state_manager"

BROKER_CALLS = 8
"""Calls to the broker at a time; one that hangs occupies its place until kombu gives up."""


@dataclass(frozen=True, slots=True)
class Services:
    """One application's settings and connections, made once by `create_app`."""

    settings: Settings
    engine: Engine
    redis: Redis
    satellite_types: SatelliteTypeCache
    hub: Hub
    dispatcher: BestEffortDispatcher
    lifecycle: Lifecycle
    snapshots: SingleFlightCache[UUID, Any] = field(default_factory=lambda: SingleFlightCache(SNAPSHOT_S))
    measured: SingleFlightCache[str, dict[str, Any]] = field(default_factory=lambda: SingleFlightCache(MEASURED_S))
    checks: DeadlineExecutor = field(default_factory=lambda: DeadlineExecutor(8))

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
    redis = connect_redis(settings)
    dispatcher = BestEffortDispatcher(
        Dispatcher(engine, UsualDurations(settings.time_slice_ms)), DeadlineExecutor(BROKER_CALLS)
    )
    app.extensions[_EXTENSION] = Services(
        settings=settings,
        engine=engine,
        satellite_types=SatelliteTypeCache(engine),
        redis=redis,
        # A connection of its own: it must not queue behind a thousand watchers who come at once.
        hub=Hub(connect(database_uri, pool_size=1), redis),
        dispatcher=dispatcher,
        lifecycle=Lifecycle(engine, dispatcher, Notifier(redis), settings.max_concurrent_executions),
    )


def services() -> Services:
    """Return the services of the application that handles this request."""
    return of(current_app)


def of(app: Flask) -> Services:
    """Return the services of an application."""
    found: Services = app.extensions[_EXTENSION]
    return found
