"""Lower bound of the time of a chain's link: `uv run python -m benchmarks.floor`.

The statements alone, in a loop on one connection, without Celery, an API, or a satellite to run: the outcome of one
link is settled and the next one claimed, in one round trip with its commit. Beside it a round trip that writes nothing,
and one that writes a row: what the connection and the disk take of it.
"""

from __future__ import annotations

import statistics
import time
from datetime import timedelta
from typing import TYPE_CHECKING
from uuid import uuid4

from sqlalchemy import text

from benchmarks.services import service
from state_manager.states import SatelliteStatus
from state_manager.store import transitions
from state_manager.store.engine import call, connect
from state_manager.store.migrate import migrate
from state_manager.store.transitions import ClaimBudget, Outcome
from tests.factories import NOTHING, chain, submit

if TYPE_CHECKING:
    from collections.abc import Callable

    from sqlalchemy import Engine

LINKS = 200
RUNS = 20
WORKER = uuid4()


def hops(engine: Engine) -> float:
    """Run a chain by its statements alone; return the milliseconds of a link."""
    submitted = submit(engine, chain(LINKS))
    lease = timedelta(seconds=15)
    claimed = transitions.claim(
        engine, [submitted["s0"]], worker=WORKER, name="floor", lease=lease, max_input_bytes=2**20
    )
    started = time.perf_counter()
    while claimed:
        room = ClaimBudget(uuid4(), WORKER, "floor", 15, ["satellites"], {NOTHING: 0.1}, 50, 100, 2**20)
        outcomes = [Outcome(one.id, one.claim, SatelliteStatus.COMPLETED, duration_ms=0.1) for one in claimed]
        claimed = list(transitions.settle(engine, outcomes, max_concurrent=100, budget=room).claimed)
    return 1000 * (time.perf_counter() - started) / LINKS


def each(do: Callable[[], object]) -> float:
    """Return the milliseconds of one call among many."""
    started = time.perf_counter()
    for _ in range(LINKS):
        do()
    return 1000 * (time.perf_counter() - started) / LINKS


def main() -> None:
    """Print the three measurements."""
    with service("postgres") as (uri, _):
        migrate(uri)
        engine = connect(uri, pool_size=1)
        with engine.connect() as connection:
            connection.execute(text("CREATE TABLE floor (at timestamptz)"))
        measured: dict[str, Callable[[], float]] = {
            "a link of a chain: settle, claim the next, commit": lambda: hops(engine),
            "a round trip that writes nothing": lambda: each(lambda: call(engine, "SELECT 1", {})),
            "a round trip that inserts one row, and its commit": lambda: each(
                lambda: call(engine, "INSERT INTO floor VALUES (now()) RETURNING 1", {})
            ),
        }
        print("| on one connection | median, ms | least–greatest, ms |\n|---|---|---|")
        for name, measure in measured.items():
            values = [measure() for _ in range(RUNS)]
            print(f"| {name} | {statistics.median(values):.2f} | {min(values):.2f}–{max(values):.2f} |")
        engine.dispose()


if __name__ == "__main__":
    main()
