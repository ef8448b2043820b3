"""The summary and the health of the system."""

from __future__ import annotations

from typing import TYPE_CHECKING
from uuid import uuid4

import pytest
from sqlalchemy import text

from api.app import create_app
from api.services import services_of
from state_manager.config import Settings
from tests.api.conftest import ECHO, LIMITED, NOWHERE, PICKY, cluster, satellite
from tests.factories import report_worker
from tests.waiting import until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from flask.testing import FlaskClient
    from redis import Redis
    from sqlalchemy import Engine

AWAY = "postgresql://postgres@127.0.0.1:1/nowhere"


@pytest.fixture
def lost() -> Iterator[FlaskClient]:
    """Yield a client of an application without its database."""
    app = create_app(Settings(database_uri=AWAY, redis_uri=NOWHERE, environment="test", log_level="error"))
    yield app.test_client()
    app.extensions["state_manager"].engine.dispose()


def test_the_summary_counts(
    make_client: Callable[..., FlaskClient], redis: Redis, redis_uri: str, engine: Engine
) -> None:
    client = make_client(redis_uri=redis_uri)
    client.post("/executions", json=cluster(satellite("a"), satellite("b", "a")))
    report_worker(engine, uuid4(), "w", ["satellites", "gpu"])
    until(lambda: redis.llen("satellites") == 1, what="the first satellite is dispatched")
    shown = client.get("/state/summary").get_json()
    assert shown["executions"] == {"pending": 0, "running": 1, "completed": 0, "failed": 0, "cancelled": 0}
    assert shown["satellites"]["pending"] == 2
    assert shown["workers"] == 1
    assert shown["queues"] == {"gpu": 0, "picky": 0, "satellites": 1}
    assert shown["satellite_types"] == [ECHO, LIMITED, PICKY]


def test_the_summary_has_no_depths_while_redis_is_down(client: FlaskClient) -> None:
    shown = client.get("/state/summary").get_json()
    assert shown["queues"] == {"picky": None, "satellites": None}


def test_health_names_dependencies_workers_and_queues(
    make_client: Callable[..., FlaskClient], redis: Redis, redis_uri: str, engine: Engine
) -> None:
    report_worker(engine, uuid4(), "w", ["satellites"])
    response = make_client(redis_uri=redis_uri).get("/state/health")
    assert response.status_code == 200
    shown = response.get_json()
    assert shown["status"] == "healthy"
    assert shown["database"]["status"] == shown["redis"]["status"] == "up"
    assert shown["database"]["latency_ms"] > 0
    assert shown["workers"][0]["name"] == "w"
    assert shown["workers"][0]["age_s"] < 10
    assert shown["queues"]["satellites"]["consumers"] == 1


def test_health_is_503_while_redis_is_down_and_ready_is_not(client: FlaskClient) -> None:
    response = client.get("/state/health")
    assert response.status_code == 503
    assert response.get_json()["redis"]["status"] == "down"
    assert response.get_json()["database"]["status"] == "up"
    assert client.get("/state/health/ready").status_code == 200


def test_without_a_database_it_is_alive_but_not_ready(lost: FlaskClient) -> None:
    assert lost.get("/state/health/live").status_code == 200
    assert lost.get("/state/health/ready").status_code == 503
    assert lost.get("/state/health").status_code == 503
    for response in (lost.get("/executions"), lost.post("/executions", json=cluster()), lost.get("/state/summary")):
        assert response.status_code == 503
        assert response.headers["Retry-After"]
        assert response.get_json()["code"] == 503


def test_without_a_worker_it_is_not_healthy_but_ready(
    make_client: Callable[..., FlaskClient], redis: Redis, redis_uri: str
) -> None:
    client = make_client(redis_uri=redis_uri)
    response = client.get("/state/health")
    assert response.status_code == 503
    shown = response.get_json()
    assert (shown["status"], shown["workers"]) == ("unhealthy", [])
    assert shown["reason"] == "no worker gave a sign of life in the last 15 s"
    assert client.get("/state/health/ready").status_code == 200


@pytest.fixture
def unmigrated(postgres: str) -> Iterator[FlaskClient]:
    """Yield a client of an application whose database was never migrated."""
    app = create_app(Settings(database_uri=postgres.format("template1"), environment="test", log_level="critical"))
    yield app.test_client()
    app.extensions["state_manager"].engine.dispose()


def test_database_that_was_never_migrated_is_not_ready(unmigrated: FlaskClient) -> None:
    ready, health = unmigrated.get("/state/health/ready"), unmigrated.get("/state/health")
    assert ready.status_code == health.status_code == 503
    assert ready.get_json()["reason"].startswith("The database is not migrated: run python -m")
    assert health.get_json()["database"]["status"] == "up"
    assert ready.get_json()["reason"] in health.get_json()["reason"]


@pytest.mark.parametrize(("method", "path"), [
    ("GET", "/executions"), ("POST", "/executions"), ("GET", "/executions/ID"), ("DELETE", "/executions/ID"),
    ("GET", "/executions/ID/events"), ("GET", "/satellites/ID"), ("GET", "/satellites/ID/logs"),
    ("GET", "/state/summary"),
])  # fmt: skip
def test_every_call_says_that_the_database_is_not_migrated(unmigrated: FlaskClient, method: str, path: str) -> None:
    response = unmigrated.open(
        path.replace("ID", str(uuid4())), method=method, json=cluster() if method == "POST" else None
    )
    assert response.status_code == 503
    assert "python -m state_manager.store.migrate" in response.get_json()["message"]


def test_statement_of_ours_that_names_nothing_is_our_fault(client: FlaskClient) -> None:
    def broken() -> str:
        with services_of(client.application).engine.connect() as connection:
            connection.execute(text("SELECT * FROM no_such_table"))
        return ""

    client.application.add_url_rule("/broken", "broken", broken)
    assert client.get("/broken").status_code == 500
