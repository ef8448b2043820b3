"""A client behind a network that fails: cut, refused, and silent without a word."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from exospherehost.state_manager import StateManagerClient
from tests.chaos.proxy import Faults, Proxy
from tests.waiting import until

if TYPE_CHECKING:
    from collections import Counter
    from collections.abc import Iterator
    from pathlib import Path

    import pytest

    from exospherehost.state_manager import Update
    from tests.system import System

DEAD, GONE, CUT = Faults(black_hole=True), Faults(refuse=True), Faults(cut_after=200, cuts=3)


def test_watch_has_every_event_over_a_dead_a_refusing_and_a_cutting_network(
    system: System, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("exospherehost.state_manager.watch.PING_INTERVAL_S", 0.3)
    monkeypatch.setattr("exospherehost.state_manager.watch.PING_TIMEOUT_S", 0.3)
    monkeypatch.setattr("exospherehost.state_manager.watch.OPEN_TIMEOUT_S", 1.0)
    faults = [(DEAD, "swallowed"), (GONE, "refused"), (CUT, "cut"), (DEAD, "swallowed")]
    gates = [tmp_path / f"gate-{at}" for at in range(len(faults))]

    async def use(proxy: Proxy) -> list[Update]:
        async with StateManagerClient(f"http://127.0.0.1:{proxy.port}") as client:
            execution_id = system.submit(*chain(gates))
            async with asyncio.TaskGroup() as healing, client.watch_execution(execution_id) as updates:
                seen: list[Update] = []
                async for update in updates:
                    seen.append(update)
                    waits = [at for at, gate in enumerate(gates) if not gate.exists()]
                    if waits and running(update) == f"s{waits[0]}":
                        fault, count = faults[waits[0]]
                        healing.create_task(heal_once_met(proxy, count, proxy.counts.copy()))
                        proxy.switch(fault)
                        if fault is GONE:
                            proxy.reset()
                        gates[waits[0]].touch()
            return seen

    with Proxy(("127.0.0.1", system.port)) as proxy:
        seen = asyncio.run(use(proxy))
        assert proxy.counts["swallowed"]
        assert proxy.counts["refused"]
        assert proxy.counts["cut"]

    first, *rest = [update.seq for update in seen if update.kind != "progress"]
    assert rest == list(range(first + 1, 4 + 2 * len(gates)))
    assert seen[-1].execution == system.execution(seen[-1].execution_id)
    assert seen[-1].progress == 100


async def heal_once_met(proxy: Proxy, count: str, before: Counter[str]) -> None:
    """Heal after the fault was met, so that this count has moved, and the client has tried again."""
    await asyncio.to_thread(until, lambda: proxy.counts[count] > before[count] and tries(proxy.counts) > tries(before))
    proxy.heal()


def tries(counts: Counter[str]) -> int:
    return counts["connected"] + counts["refused"]


def chain(gates: list[Path]) -> Iterator[dict[str, object]]:
    for at, gate in enumerate(gates):
        yield {
            "name": f"s{at}",
            "uses": "satellite/test/wait",
            "config": {"file": str(gate)},
            "dependencies": [f"s{at - 1}"] if at else [],
        }


def running(update: Update) -> str | None:
    """Name the satellite that this update shows to run."""
    if update.execution is not None:
        return next((one.name for one in update.execution.satellites if one.status == "running"), "s0")
    return update.satellite.name if update.satellite is not None and update.satellite.status == "running" else None
