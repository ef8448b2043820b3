"""Clusters to run while something fails, and what must hold of all of them in the end."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import redis
from sqlalchemy import text

from tests.store.invariants import assert_admission_is_right, assert_sound
from tests.waiting import until

if TYPE_CHECKING:
    from collections.abc import Iterable
    from uuid import UUID

    from tests.system import System

ECHO = "satellite/exospherehost/echo"
SLEEP = "satellite/exospherehost/sleep"

_LEFT_BEHIND = text("""
    SELECT state, query FROM pg_stat_activity
    WHERE datname = current_database() AND pid <> pg_backend_pid()
      AND (state LIKE 'idle in transaction%' OR cardinality(pg_blocking_pids(pid)) > 0)
""")
_TERMINATE = text("""
    SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
    WHERE datname = current_database() AND pid <> pg_backend_pid() AND backend_type = 'client backend'
""")
_UNFINISHED = text("SELECT count(*) FROM executions WHERE status IN ('pending', 'running')")
_IDS = text("SELECT id FROM executions")


def chain(length: int, seconds: float = 0.05) -> list[dict[str, Any]]:
    """Return satellites one after the other."""
    return [
        {
            "name": f"link-{at}",
            "uses": SLEEP,
            "config": {"seconds": seconds},
            "dependencies": [f"link-{at - 1}"] if at else [],
        }
        for at in range(length)
    ]


def fan(width: int, seconds: float = 0.01) -> list[dict[str, Any]]:
    """Return a satellite, `width` behind it side by side, and one that waits for them all."""
    parts = [
        {"name": f"part-{at}", "uses": SLEEP, "config": {"seconds": seconds}, "dependencies": ["split"]}
        for at in range(width)
    ]
    return [
        {"name": "split", "uses": ECHO},
        *parts,
        {"name": "join", "uses": ECHO, "dependencies": [part["name"] for part in parts]},
    ]


def overlapping() -> list[dict[str, Any]]:
    """Return joins that share some of their parents, which no canvas can express."""
    return [
        *({"name": name, "uses": SLEEP, "config": {"seconds": 0.01}} for name in ("a", "b", "c")),
        {"name": "ab", "uses": ECHO, "dependencies": ["a", "b"]},
        {"name": "bc", "uses": ECHO, "dependencies": ["b", "c"]},
        {"name": "all", "uses": ECHO, "dependencies": ["ab", "bc", "a"]},
    ]


def assert_nothing_is_lost(system: System, acknowledged: Iterable[str] = (), *, within_s: float = 120) -> None:
    """Wait until every execution has ended, and hold all that the database has against the invariants."""
    until(lambda: _count_unfinished(system) == 0, within_s=within_s, what="every execution ends")
    ids = execution_ids(system)
    assert {str(one) for one in ids}.issuperset(acknowledged), "an acknowledged execution is not there"
    for one in ids:
        assert_sound(system.engine, one)
    assert_admission_is_right(system.engine)
    until(lambda: not _left_behind(system), what="no transaction is left open")


def flush(system: System) -> None:
    """Empty Redis."""
    redis.Redis.from_url(system.redis_uri, socket_timeout=5).flushall()


def terminate_sessions(system: System) -> int:
    """End every session with the database but our own; return how many there were."""
    with system.engine.connect() as connection:
        return int(connection.execute(_TERMINATE).scalar_one())


def execution_ids(system: System) -> list[UUID]:
    """List every execution that there is."""
    with system.engine.connect() as connection:
        return list(connection.execute(_IDS).scalars())


def _count_unfinished(system: System) -> int:
    with system.engine.connect() as connection:
        return int(connection.execute(_UNFINISHED).scalar_one())


def _left_behind(system: System) -> list[Any]:
    with system.engine.connect() as connection:
        return list(connection.execute(_LEFT_BEHIND).all())
