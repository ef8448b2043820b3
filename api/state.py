"""The state of the system: a summary, and health as probes ask for it."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, cast

import psutil
from flask import Response, jsonify
from redis.exceptions import RedisError
from sqlalchemy.exc import SQLAlchemyError

from api import responses, serialisers
from api.resource import Resource
from api.services import Services, services
from state_manager.states import ExecutionStatus, SatelliteStatus
from state_manager.store import executions, satellite_types, satellites, workers
from state_manager.store.engine import ping
from state_manager.store.schema import is_current

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, Sequence

blueprint = Resource("state", __name__, url_prefix="/state", description="The system as a whole")

SIGN_OF_LIFE = timedelta(seconds=15)
"""A worker that was silent for longer is not counted."""

CHECK_WITHIN_S = 1.0
"""A dependency that takes longer to answer is down."""

_UNREACHABLE = (SQLAlchemyError, RedisError, TimeoutError)


@blueprint.operation("GET", "/summary", responses.Summary)
def summary() -> Response:
    """Count executions, satellites, workers and waiting messages."""
    return jsonify(_counted(services()))


def measured(here: Services) -> dict[str, Any]:
    """Say how the system is now: what it has to do, and how busy this machine is."""
    memory = psutil.virtual_memory()
    machine = {
        "cpu_percent": psutil.cpu_percent(),
        "memory_percent": memory.percent,
        "memory_used_bytes": memory.total - memory.available,
    }
    return {"at": serialisers.moment(datetime.now(UTC)), "metrics": {**_counted(here), "machine": machine}}


def _counted(here: Services) -> dict[str, Any]:
    types = satellite_types.known_types(here.engine, satellite_types.type_names(here.engine))
    workers = _workers(here)
    queues = {one.queue for one in types.values()} | {queue for one in workers for queue in one["queues"]}
    return {
        "executions": dict.fromkeys(ExecutionStatus, 0) | executions.count_by_status(here.engine),
        "satellites": dict.fromkeys(SatelliteStatus, 0) | satellites.count_by_status(here.engine),
        "workers": len(workers),
        "queues": _depths(here, sorted(queues)),
        "satellite_types": sorted(types),
    }


@blueprint.operation("GET", "/health", responses.Health, also=(HTTPStatus.SERVICE_UNAVAILABLE,))
def health() -> Response:
    """Check everything that the system needs; 503 where something is down."""
    here = services()
    checked = {
        "database": _checked(here, lambda: ping(here.engine)),
        "redis": _checked(here, here.redis.ping),
    }
    workers = _workers(here) if checked["database"]["status"] == "up" else []
    healthy = all(one["status"] == "up" for one in checked.values())
    response = jsonify(
        status="healthy" if healthy else "unhealthy", **checked, workers=workers, queues=_consumers(workers)
    )
    response.status_code = HTTPStatus.OK if healthy else HTTPStatus.SERVICE_UNAVAILABLE
    return response


@blueprint.operation("GET", "/health/live", responses.Verdict)
def live() -> Response:
    """Say that this process answers; looks at nothing outside it."""
    return jsonify(status="alive")


@blueprint.operation("GET", "/health/ready", responses.Verdict, also=(HTTPStatus.SERVICE_UNAVAILABLE,))
def ready() -> Response:
    """Say whether this process can accept requests: whether PostgreSQL answers and is migrated."""
    here = services()
    try:
        reason = None if here.checks.call(CHECK_WITHIN_S, lambda: is_current(here.engine)) else "not migrated"
    except _UNREACHABLE:
        reason = "the database does not answer"
    if reason is None:
        return jsonify(status="ready")
    response = jsonify(status="not ready", reason=reason)
    response.status_code = HTTPStatus.SERVICE_UNAVAILABLE
    return response


def _checked(here: Services, check: Callable[[], object]) -> dict[str, Any]:
    started = time.perf_counter()
    try:
        here.checks.call(CHECK_WITHIN_S, check)
    except _UNREACHABLE as error:
        return {"status": "down", "latency_ms": None, "error": type(error).__name__}
    return {"status": "up", "latency_ms": round((time.perf_counter() - started) * 1000, 3)}


def _workers(here: Services) -> list[dict[str, Any]]:
    return [serialisers.worker(row) for row in workers.live_workers(here.engine, SIGN_OF_LIFE)]


def _consumers(workers: Collection[Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
    ages: dict[str, list[float]] = {}
    for worker in workers:
        for queue in worker["queues"]:
            ages.setdefault(queue, []).append(worker["age_s"])
    return {queue: {"consumers": len(of), "age_s": min(of)} for queue, of in sorted(ages.items())}


def _depths(here: Services, queues: Sequence[str]) -> dict[str, int | None]:
    """Ask Redis how many messages wait in each queue; None where it does not answer."""
    pipeline = here.redis.pipeline(transaction=False)
    for queue in queues:
        pipeline.llen(queue)
    try:
        lengths = cast("list[int]", pipeline.execute())
    except RedisError:
        return dict.fromkeys(queues)
    return dict(zip(queues, lengths, strict=True))
