"""Many short satellites share a message: a slow one among them delays nobody, and a killer charges nobody else."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import select

from state_manager.store.tables import satellites
from tests.store.invariants import assert_sound

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from datetime import datetime
    from uuid import UUID

    from sqlalchemy import RowMapping

    from tests.system import System

DIE = "satellite/test/die"
SLEEP = "satellite/exospherehost/sleep"
WORKERS = 2


def front(uses: str, configs: Iterable[dict[str, Any]], **fields: Any) -> list[dict[str, Any]]:
    return [{"name": f"s{at}", "uses": uses, "config": config, **fields} for at, config in enumerate(configs)]


def ran(system: System, execution_id: str) -> Sequence[RowMapping]:
    query = select(satellites).where(satellites.c.execution_id == execution_id).order_by(satellites.c.start_time)
    with system.engine.connect() as connection:
        return connection.execute(query).mappings().all()


def idle_s(rows: Sequence[RowMapping], last_start: datetime) -> float:
    """Return the longest time that a process had nothing to do before the last satellite started.

    A batch that waits for its execution's row is recorded some milliseconds late: a short satellite may then seem to
    run inside the slow one behind it, so a process is busy until the latest end so far.
    """
    longest_s = 0.0
    busy_until: dict[UUID, datetime] = {}
    for row in rows:
        until = busy_until.get(row["worker"], row["start_time"])
        longest_s = max(longest_s, (min(row["start_time"], last_start) - until).total_seconds())
        busy_until[row["worker"]] = max(until, row["end_time"])
    return longest_s


def test_slow_satellites_among_short_ones_delay_nobody(system: System) -> None:
    seconds = [3 if at % 50 == 25 else 0.001 for at in range(200)]

    execution = system.wait(system.submit(*front(SLEEP, ({"seconds": one} for one in seconds))))

    assert execution["status"] == "completed"
    rows = ran(system, execution["execution_id"])
    makespan_s = (max(row["end_time"] for row in rows) - rows[0]["start_time"]).total_seconds()
    assert makespan_s <= 1.2 * sum(seconds) / WORKERS
    assert idle_s(rows, rows[-1]["start_time"]) <= 0.3
    assert_sound(system.engine, rows[0]["execution_id"])


def test_killer_among_short_satellites_is_found_out_and_charges_nobody_else(system: System) -> None:
    system.wait(system.submit(*front(DIE, [{"deaths": 0}])))  # so that its kind is known to be short

    deaths = [99 if at == 20 else 0 for at in range(60)]
    split = {"name": "split", "uses": DIE, "config": {"deaths": 0}}
    parts = front(DIE, ({"deaths": one} for one in deaths), dependencies=["split"], retries=1)
    execution = system.wait(system.submit(split, *parts))

    assert execution["status"] == "failed"
    rows = {row["name"]: row for row in ran(system, execution["execution_id"])}
    assert (rows["s20"]["status"], rows["s20"]["error_kind"], rows["s20"]["attempt"]) == ("failed", "worker_lost", 2)
    assert {(row["status"], row["attempt"]) for name, row in rows.items() if name != "s20"} == {("completed", 1)}
    assert_sound(system.engine, rows["s20"]["execution_id"])
