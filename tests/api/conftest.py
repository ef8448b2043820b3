"""Fixtures of the API's tests: an application for each test, on a real PostgreSQL and Valkey."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import kombu.pools
import pytest
from redis import Redis

from api.app import create_app
from state_manager.config import Settings
from state_manager.store.satellite_types import SatelliteType, register_types
from workers.app import app as celery

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from flask import Flask
    from flask.testing import FlaskClient
    from sqlalchemy import Engine

    from api.services import Services

ECHO = "satellite/exospherehost/echo"
PICKY = "satellite/test/picky"
LIMITED = "satellite/test/limited"
NOWHERE = "redis://127.0.0.1:1"

PICKY_SCHEMA = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}


def cluster(*satellites: dict[str, Any], **fields: Any) -> dict[str, Any]:
    """Return a cluster document, by default of one satellite."""
    given = [{"name": "one", "uses": ECHO}] if not satellites else list(satellites)
    return {"identifier": "project/name", "satellites": given, **fields}


def satellite(name: str, *dependencies: str, **fields: Any) -> dict[str, Any]:
    """Return a satellite of a cluster document."""
    return {"name": name, "uses": ECHO, "dependencies": list(dependencies), **fields}


@pytest.fixture(autouse=True)
def broker(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], None]]:
    """Point Celery at a broker, at first one that is not there."""

    def point(uri: str) -> None:
        monkeypatch.setenv("CELERY_BROKER_URL", uri)
        kombu.pools.reset()
        celery._pool = None
        celery.amqp._producer_pool = None

    point(NOWHERE)
    yield point
    kombu.pools.reset()


@pytest.fixture
def settings(database_uri: str) -> Settings:
    return Settings(database_uri=database_uri, redis_uri=NOWHERE, environment="test", log_level="warning")


@pytest.fixture
def make_client(settings: Settings, engine: Engine) -> Iterator[Callable[..., FlaskClient]]:
    """Return a maker of clients of an application with other settings."""
    types = [
        SatelliteType(ECHO, "satellites"),
        SatelliteType(PICKY, "picky", PICKY_SCHEMA),
        SatelliteType(LIMITED, "satellites", kinds=("rate_limited",)),
    ]
    register_types(engine, types)
    made: list[Flask] = []

    def make(**changes: Any) -> FlaskClient:
        made.append(create_app(replace(settings, **changes)))
        return made[-1].test_client()

    yield make
    for app in made:
        services: Services = app.extensions["state_manager"]
        services.engine.dispose()
        services.redis.close()


@pytest.fixture
def client(make_client: Callable[..., FlaskClient]) -> FlaskClient:
    return make_client()


@pytest.fixture
def redis(redis_uri: str, broker: Callable[[str], None]) -> Iterator[Redis]:
    """Give Celery a broker that is there, and look into it."""
    broker(redis_uri)
    with Redis.from_url(redis_uri) as client:
        yield client
    broker(NOWHERE)
