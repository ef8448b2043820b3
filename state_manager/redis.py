"""Connections to Redis with short timeouts, for notifications and queue lengths."""

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
    """Create a pool of connections, each opened when first used, with short timeouts and no retries."""
    return Redis.from_url(
        settings.redis_uri or DEFAULT_URI,
        max_connections=settings.redis_pool_size,
        socket_timeout=TIMEOUT_S,
        socket_connect_timeout=TIMEOUT_S,
        retry=Retry(NoBackoff(), 0),
    )
