"""Short satellites share a message: a long one among them holds up no other, and a killer charges no other."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any
from uuid import UUID

from sqlalchemy import select

from state_manager.store.tables import events, satellites
from tests.store.invariants import assert_sound
from tests.waiting import until

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from sqlalchemy import RowMapping

    from tests.system import System

DIE = "satellite/test/die"
USUALLY_SHORT = "satellite/test/usually-short"


def front(uses: str, configs: Iterable[dict[str, Any]], **fields: Any) -> list[dict[str, Any]]:
    return [{"name": f"s{at}", "uses": uses, "config": config, **fields} for at, config in enumerate(configs)]


def rows_by_name(system: System, execution_id: str) -> dict[str, RowMapping]:
    query = select(satellites).where(satellites.c.execution_id == execution_id)
    with system.engine.connect() as connection:
        return {row["name"]: row for row in connection.execute(query).mappings()}


def event_kinds(system: System, execution_id: str) -> Counter[str]:
    query = select(events.c.kind).where(events.c.execution_id == execution_id)
    with system.engine.connect() as connection:
        return Counter(connection.scalars(query))


def test_long_satellite_holds_up_none_of_those_behind_it(system: System, tmp_path: Path) -> None:
    system.wait(system.submit(*front(USUALLY_SHORT, [{}] * 300)))  # so that its kind is known to be short
    gate = tmp_path / "gate"

    execution_id = system.submit(*front(USUALLY_SHORT, [{"file": str(gate)}, *[{}] * 299]))

    others = until(
        lambda: (found := Counter(system.statuses(execution_id).values()))["completed"] == 299 and found,
        what="all but the long one complete",
    )
    assert others == {"completed": 299, "running": 1}
    gate.touch()
    assert system.wait(execution_id)["status"] == "completed"
    assert {row["attempt"] for row in rows_by_name(system, execution_id).values()} == {1}
    assert event_kinds(system, execution_id)["released"] >= 1, "the long one was alone in its message"
    assert_sound(system.engine, UUID(execution_id))


def test_killer_among_short_satellites_is_found_out_and_charges_nobody_else(system: System) -> None:
    system.wait(system.submit(*front(DIE, [{"deaths": 0}])))  # so that its kind is known to be short

    deaths = [99 if at == 20 else 0 for at in range(60)]
    split = {"name": "split", "uses": DIE, "config": {"deaths": 0}}
    parts = front(DIE, ({"deaths": one} for one in deaths), dependencies=["split"], retries=1)
    execution = system.wait(system.submit(split, *parts))

    assert execution["status"] == "failed"
    rows = rows_by_name(system, execution["execution_id"])
    assert (rows["s20"]["status"], rows["s20"]["error_kind"], rows["s20"]["attempt"]) == ("failed", "worker_lost", 2)
    assert {(row["status"], row["attempt"]) for name, row in rows.items() if name != "s20"} == {("completed", 1)}
    assert_sound(system.engine, rows["s20"]["execution_id"])
