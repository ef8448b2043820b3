"""The composition root: from settings to a Flask application. `gunicorn 'api.app:create_app()'`."""

from __future__ import annotations

import gc
from functools import partial
from typing import TYPE_CHECKING, Any

import flask_smorest
from flask import Flask, send_from_directory
from swagger_ui_bundle import swagger_ui_path

from api import errors
from api.best_effort import BestEffortDispatcher
from api.deadline_executor import DeadlineExecutor
from api.live import sockets
from api.live.hub import Hub
from api.native_threads import call_in_native_thread
from api.resources import artifacts, events, executions, health, home, logs, satellites, secrets, signals, summary
from api.services import EXTENSION, Services
from api.unread_bodies import LingeringClose
from state_manager import config, logging_setup
from state_manager.artifact_bytes import ArtifactBytes
from state_manager.graph import Limits
from state_manager.lifecycle import Lifecycle
from state_manager.notifications import Notifier
from state_manager.redis import connect_redis
from state_manager.retry import BackoffStrategy, RetryPolicy
from state_manager.secrets.configured import configured_keys
from state_manager.store.engine import connect
from state_manager.store.satellite_types import SatelliteTypeCache
from state_manager.store.secrets import known_secret_names
from state_manager.submission import Defaults
from state_manager.validation import Validator
from workers.dispatch.dispatcher import Dispatcher
from workers.dispatch.durations import UsualDurations

if TYPE_CHECKING:
    from flask import Response

    from state_manager.config import Settings

BLUEPRINTS = tuple(
    one.blueprint for one in (executions, events, satellites, logs, artifacts, signals, secrets, summary, health, home)
)
SWAGGER_UI = "/docs/swagger-ui/"

BROKER_CALLS = 8
"""Calls to the broker at a time; one that hangs occupies its place until kombu gives up."""


class _Api(flask_smorest.Api):  # type: ignore[misc]  # flask-smorest has no types
    """Documents our errors, and leaves their handling to `errors.respond`."""

    ERROR_SCHEMA = errors.Error

    def _register_error_handlers(self) -> None:
        """Do nothing: every exception has one handler."""


def create_app(settings: Settings | None = None) -> Flask:
    """Create the application; exits with a message where DATABASE_URI is not set."""
    settings = settings or config.settings()
    if settings.database_uri is None:
        raise SystemExit("DATABASE_URI is not set: the API has nowhere to record a submission")
    logging_setup.configure(settings.log_level, settings.environment)
    app = Flask("api", static_folder=None)
    app.config.update(_configuration(settings))
    app.json.sort_keys = False  # type: ignore[attr-defined]  # of Flask's default provider
    app.json.compact = True  # type: ignore[attr-defined]
    # A cluster of 10,000 satellites is a million small objects: by the default of 700, collecting the garbage
    # that they are not would take longer than submitting them (measured: 1.1 s instead of 0.55 s).
    gc.set_threshold(50_000, 10, 10)
    app.extensions[EXTENSION] = _services(settings, settings.database_uri)
    app.register_error_handler(Exception, errors.respond)
    api = _Api(app)
    for blueprint in BLUEPRINTS:
        api.register_blueprint(blueprint)
    app.register_blueprint(sockets.blueprint)
    app.wsgi_app = LingeringClose(app.wsgi_app)  # type: ignore[method-assign]
    app.add_url_rule(f"{SWAGGER_UI}<path:name>", "swagger_ui", _swagger_ui)
    return app


def _services(settings: Settings, database_uri: str) -> Services:
    """Create the services of an application. Connections are opened when first used."""
    engine = connect(database_uri, pool_size=settings.database_pool_size)
    redis = connect_redis(settings)
    dispatcher = BestEffortDispatcher(
        Dispatcher(engine, UsualDurations(settings.time_slice_ms)), DeadlineExecutor(BROKER_CALLS)
    )
    defaults = _defaults(settings)
    limits = Limits(settings.max_satellites, settings.max_edges, settings.max_depth)
    return Services(
        settings=settings,
        engine=engine,
        redis=redis,
        validator=Validator(
            engine,
            SatelliteTypeCache(engine),
            limits,
            defaults.retry,
            frozenset(settings.allowed_queues),
            partial(known_secret_names, engine),
        ),
        defaults=defaults,
        # A connection of its own: it must not queue behind a thousand watchers who come at once.
        hub=Hub(connect(database_uri, pool_size=1), redis),
        dispatcher=dispatcher,
        lifecycle=Lifecycle(engine, dispatcher, Notifier(redis), settings.max_concurrent_executions),
        keys=configured_keys(settings),
        artifact_bytes=ArtifactBytes(settings, call_in_native_thread),
    )


def _defaults(settings: Settings) -> Defaults:
    retry = RetryPolicy(
        max_attempts=settings.retry_attempts,
        backoff_strategy=BackoffStrategy(settings.retry_backoff_strategy),
        base_delay=settings.retry_delay_s,
        max_delay=max(RetryPolicy().max_delay, settings.retry_delay_s),
    )
    return Defaults(retry, settings.execution_timeout_s)


def _configuration(settings: Settings) -> dict[str, Any]:
    return {
        "MAX_CONTENT_LENGTH": settings.max_body_bytes,
        "API_TITLE": "ExosphereHost State Manager",
        "API_VERSION": "1",
        "OPENAPI_VERSION": "3.0.3",
        "OPENAPI_URL_PREFIX": "/",
        "OPENAPI_SWAGGER_UI_PATH": "/docs",
        "OPENAPI_SWAGGER_UI_URL": SWAGGER_UI,
        "SOCK_SERVER_OPTIONS": sockets.SOCK_SERVER_OPTIONS,
    }


def _swagger_ui(name: str) -> Response:
    """Serve Swagger UI from the installed package, so that the documentation works without a network."""
    return send_from_directory(swagger_ui_path, name)
