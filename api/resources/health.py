"""Health checks for monitoring and load balancers: the services that the system needs, and its workers."""

from __future__ import annotations

import time
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from flask import Response, jsonify
from marshmallow import Schema, fields
from redis.exceptions import RedisError
from sqlalchemy.exc import SQLAlchemyError

from api.blueprint import Blueprint
from api.presenter import Presenter
from api.services import Services, current_services
from api.system_state import SIGN_OF_LIFE, live_workers
from state_manager.errors import NotMigrated
from state_manager.store.engine import ping
from state_manager.store.schema import is_current

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping

blueprint = Blueprint("health", __name__, url_prefix="/state/health", description="What the system needs to work")

CHECK_WITHIN_S = 1.0
"""A dependency that takes longer to answer is down."""

_UNREACHABLE = (SQLAlchemyError, RedisError, TimeoutError)


class Dependency(Schema):
    """The state of a service that the system depends on."""

    status = fields.String(metadata={"enum": ["up", "down"]})
    latency_ms = fields.Float(allow_none=True)
    error = fields.String(metadata={"description": "Only where it is down"})


class Worker(Schema):
    """A worker that gave a sign of life lately."""

    name = fields.String()
    queues = fields.List(fields.String())
    started_at = fields.DateTime()
    age_s = fields.Float(metadata={"description": "Seconds since its last sign of life"})


class Queue(Schema):
    """The consumers of a queue."""

    consumers = fields.Integer()
    age_s = fields.Float(allow_none=True, metadata={"description": "Seconds since a consumer's last sign of life"})


class Health(Schema):
    """The health of the system, and of everything that it needs."""

    status = fields.String(metadata={"enum": ["healthy", "unhealthy"]})
    reason = fields.String(metadata={"description": "Only where it is unhealthy"})
    database = fields.Nested(Dependency)
    redis = fields.Nested(Dependency)
    workers = fields.List(fields.Nested(Worker))
    queues = fields.Dict(keys=fields.String(), values=fields.Nested(Queue))


class Verdict(Schema):
    """The answer to a load balancer's question."""

    status = fields.String()
    reason = fields.String(metadata={"description": "Only where the answer is no"})


present_worker = Presenter(Worker, age_s=lambda row: round(row.age_s, 3))


@blueprint.operation("GET", "", Health, also=(HTTPStatus.SERVICE_UNAVAILABLE,))
def get() -> Response:
    """Check everything that the system needs; 503 where something is down, or no worker is there.

    Load balancers ask `/state/health/ready` instead: the API serves without workers, and executions wait for them.
    """
    services = current_services()
    checked = {
        "database": _checked(services, lambda: ping(services.engine)),
        "redis": _checked(services, services.redis.ping),
    }
    reasons = [f"{name} is down" for name, one in checked.items() if one["status"] == "down"]
    workers: list[dict[str, Any]] = []
    if checked["database"]["status"] == "up":
        reason, workers = _workers(services)
        reasons += [reason] if reason else []
    response = jsonify(
        status="unhealthy" if reasons else "healthy",
        **({"reason": "; ".join(reasons)} if reasons else {}),
        **checked,
        workers=workers,
        queues=_consumers(workers),
    )
    response.status_code = HTTPStatus.SERVICE_UNAVAILABLE if reasons else HTTPStatus.OK
    return response


@blueprint.operation("GET", "/live", Verdict)
def live() -> Response:
    """Say that this process answers; looks at nothing outside it."""
    return jsonify(status="alive")


@blueprint.operation("GET", "/ready", Verdict, also=(HTTPStatus.SERVICE_UNAVAILABLE,))
def ready() -> Response:
    """Tell whether this process can accept requests: whether PostgreSQL answers and is migrated."""
    reason = _not_ready(current_services())
    if reason is None:
        return jsonify(status="ready")
    response = jsonify(status="not ready", reason=reason)
    response.status_code = HTTPStatus.SERVICE_UNAVAILABLE
    return response


def _not_ready(services: Services) -> str | None:
    try:
        migrated = services.health_checks.call(CHECK_WITHIN_S, lambda: is_current(services.engine))
    except _UNREACHABLE:
        return "the database does not answer"
    return None if migrated else str(NotMigrated())


def _workers(services: Services) -> tuple[str | None, list[dict[str, Any]]]:
    """Return why no work would be done, if none would, and the workers that are there."""
    if (reason := _not_ready(services)) is not None:
        return reason, []
    try:
        rows = services.health_checks.call(CHECK_WITHIN_S, lambda: live_workers(services.engine))
    except _UNREACHABLE:
        return "the database does not answer", []
    seconds = SIGN_OF_LIFE.total_seconds()
    reason = None if rows else f"no worker gave a sign of life in the last {seconds:g} s"
    return reason, present_worker.all(rows)


def _checked(services: Services, check: Callable[[], object]) -> dict[str, Any]:
    started = time.perf_counter()
    try:
        services.health_checks.call(CHECK_WITHIN_S, check)
    except _UNREACHABLE as error:
        return {"status": "down", "latency_ms": None, "error": type(error).__name__}
    return {"status": "up", "latency_ms": round((time.perf_counter() - started) * 1000, 3)}


def _consumers(workers: Collection[Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
    ages: dict[str, list[float]] = {}
    for worker in workers:
        for queue in worker["queues"]:
            ages.setdefault(queue, []).append(worker["age_s"])
    return {queue: {"consumers": len(of), "age_s": min(of)} for queue, of in sorted(ages.items())}
