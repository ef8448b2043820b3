"""The settings and connections of one application, which its views use."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from flask import current_app

from api.deadline_executor import DeadlineExecutor
from api.live.single_flight import SingleFlightCache

if TYPE_CHECKING:
    from uuid import UUID

    from flask import Flask
    from redis import Redis
    from sqlalchemy import Engine

    from api.best_effort import BestEffortDispatcher
    from api.live.hub import Hub
    from state_manager.artifact_bytes import ArtifactBytes
    from state_manager.config import Settings
    from state_manager.lifecycle import Lifecycle
    from state_manager.secrets.keys import MasterKeys
    from state_manager.submission import Defaults
    from state_manager.validation import Validator

SNAPSHOT_S = 0.5
"""Lifetime of a shared snapshot: watchers who come together get the same, and what happened since as events."""

METRICS_S = 1.5
"""Lifetime of the system's metrics, shared by all who watch them."""

HEALTH_CHECKS = 8
"""Checks of dependencies at a time; one that hangs occupies its place."""

EXTENSION = "state_manager"
"""The key of an application's services in Flask's `extensions`."""


@dataclass(frozen=True, slots=True)
class Services:
    """One application's settings and connections, made once by `create_app`."""

    settings: Settings
    engine: Engine
    redis: Redis
    validator: Validator
    defaults: Defaults
    hub: Hub
    dispatcher: BestEffortDispatcher
    lifecycle: Lifecycle
    keys: MasterKeys | None
    """The master keys of the secrets; None where the configuration has none."""
    artifact_bytes: ArtifactBytes
    snapshots: SingleFlightCache[UUID, Any] = field(default_factory=lambda: SingleFlightCache(SNAPSHOT_S))
    metrics: SingleFlightCache[str, dict[str, Any]] = field(default_factory=lambda: SingleFlightCache(METRICS_S))
    health_checks: DeadlineExecutor = field(default_factory=lambda: DeadlineExecutor(HEALTH_CHECKS))


def current_services() -> Services:
    """Return the services of the application that handles this request."""
    return services_of(current_app)


def services_of(app: Flask) -> Services:
    """Return the services of an application."""
    found: Services = app.extensions[EXTENSION]
    return found
