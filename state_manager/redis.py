"""Connections to Redis for what nobody waits for long: notices, and counts of what is queued."""

from __future__ import annotations

from typing import TYPE_CHECKING

from redis import Redis
from redis.backoff import NoBackoff
from redis.retry import Retry

if TYPE_CHECKING:
    from state_manager.config import Settings

TIMEOUT_S = 0.5
DEFAULT_URI = "redis://localhost:6379"


def connect_redis(settings: Settings) -> Redis:
    """Open a pool of connections, each made when first used, that give up soon and try nothing twice."""
    return Redis.from_url(
        settings.redis_uri or DEFAULT_URI,
        max_connections=settings.redis_pool_size,
        socket_timeout=TIMEOUT_S,
        socket_connect_timeout=TIMEOUT_S,
        retry=Retry(NoBackoff(), 0),
    )
