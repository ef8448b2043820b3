"""`python -m local.prepare [--check-redis]`: migrate the database, and list its unfinished executions as JSON.

A process of its own, so that the supervisor keeps none of the libraries.
"""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING

from sqlalchemy import func, select

from state_manager.config import settings
from state_manager.errors import StateManagerError
from state_manager.setting import redacted
from state_manager.states import ExecutionStatus
from state_manager.store.engine import connect
from state_manager.store.migrate import migrate
from state_manager.store.outages import describe, is_outage, retry_until_available
from state_manager.store.tables import executions

if TYPE_CHECKING:
    from state_manager.config import Settings

CHECK_REDIS = "--check-redis"
ANSWER_WITHIN_S = 5
"""Time that a database may take to answer; one that is just starting is waited for."""
IDS_LISTED = 3


def main() -> None:
    """Prepare what the settings name; print the unfinished executions as `{"count", "ids"}`."""
    loaded = settings()
    if CHECK_REDIS in sys.argv:
        require_redis(loaded)
    print(json.dumps(prepare_database(str(loaded.database_uri))))  # noqa: T201


def require_redis(settings: Settings) -> None:
    """Exit with a message unless Redis answers."""
    # Not above: the embedded server needs no check, and the library takes a fifth of the time of a start.
    from redis import RedisError  # noqa: PLC0415

    from state_manager.redis import connect_redis  # noqa: PLC0415

    client = connect_redis(settings)
    try:
        client.ping()
    except (RedisError, OSError) as error:
        raise SystemExit(f"REDIS_URI {redacted(str(settings.redis_uri))} does not answer: {error}") from None
    finally:
        client.close()


def prepare_database(uri: str) -> dict[str, object]:
    """Migrate, and return the unfinished executions; exit with a message where that is not possible."""
    try:
        retry_until_available(lambda: migrate(uri), within_s=ANSWER_WITHIN_S)
        return unfinished_executions(uri)
    except StateManagerError as error:
        raise SystemExit(f"DATABASE_URI {redacted(uri)}: {error}") from None
    except Exception as error:
        if not is_outage(error):
            raise
        raise SystemExit(f"DATABASE_URI {redacted(uri)} does not answer: {describe(error)}") from None


def unfinished_executions(uri: str) -> dict[str, object]:
    """Count the executions that have not ended, and name the oldest."""
    unfinished = executions.c.status.in_([ExecutionStatus.PENDING, ExecutionStatus.RUNNING])
    engine = connect(uri, pool_size=1)
    try:
        with engine.connect() as connection:
            count = connection.scalar(select(func.count()).where(unfinished).select_from(executions))
            oldest = connection.scalars(
                select(executions.c.id).where(unfinished).order_by(executions.c.id).limit(IDS_LISTED)
            )
            return {"count": count, "ids": list(map(str, oldest))}
    finally:
        engine.dispose()


if __name__ == "__main__":
    main()
