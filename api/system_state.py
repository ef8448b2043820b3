"""The state of the whole system: counts of work and workers, and this machine's load; read by several endpoints."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, cast

import psutil
from redis.exceptions import RedisError

from api.presenter import moment
from state_manager.states import ExecutionStatus, SatelliteStatus
from state_manager.store import executions, satellite_types, satellites, workers

if TYPE_CHECKING:
    from collections.abc import Sequence

    from redis import Redis
    from sqlalchemy import Engine

    from state_manager.store.workers import Worker

SIGN_OF_LIFE = timedelta(seconds=15)
"""Time since its last renewal after which a worker is not counted as live."""


def metrics(engine: Engine, redis: Redis) -> dict[str, Any]:
    """Return the summary and the load of this machine, with the time at which they were taken."""
    memory = psutil.virtual_memory()
    machine = {
        "cpu_percent": psutil.cpu_percent(),
        "memory_percent": memory.percent,
        "memory_used_bytes": memory.total - memory.available,
    }
    return {"at": moment(datetime.now(UTC)), "metrics": {**summary(engine, redis), "machine": machine}}


def summary(engine: Engine, redis: Redis) -> dict[str, Any]:
    """Count executions, satellites, workers and waiting messages."""
    types = satellite_types.known_types(engine, satellite_types.type_names(engine))
    workers = live_workers(engine)
    queues = {one.queue for one in types.values()} | {queue for one in workers for queue in one.queues}
    return {
        "executions": dict.fromkeys(ExecutionStatus, 0) | executions.count_by_status(engine),
        "satellites": dict.fromkeys(SatelliteStatus, 0) | satellites.count_by_status(engine),
        "workers": len(workers),
        "queues": _depths(redis, sorted(queues)),
        "satellite_types": sorted(types),
    }


def live_workers(engine: Engine) -> Sequence[Worker]:
    """List the workers that gave a sign of life lately."""
    return workers.live_workers(engine, SIGN_OF_LIFE)


def _depths(redis: Redis, queues: Sequence[str]) -> dict[str, int | None]:
    """Ask Redis how many messages wait in each queue; None where it does not answer."""
    pipeline = redis.pipeline(transaction=False)
    for queue in queues:
        pipeline.llen(queue)
    try:
        lengths = cast("list[int]", pipeline.execute())
    except RedisError:
        return dict.fromkeys(queues)
    return dict(zip(queues, lengths, strict=True))
