"""Walks: the steps of a seed, taken by several sessions at once, with the invariants held at each rest.

`walk_at_once` lets threads meet as they happen to: it finds what a real load finds, and replays its choices, but not
their interleaving. `walk_in_order` is the deterministic one: see `tests/store/model/scheduler.py`.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from random import Random
from threading import Lock
from typing import TYPE_CHECKING

from sqlalchemy import text

from tests.store.model.scheduler import Scheduler
from tests.store.model.steps import choose, choose_weights
from tests.store.model.world import World

if TYPE_CHECKING:
    from sqlalchemy import Engine

THREADS = 4
RESTS = 4
STEPS_BETWEEN_RESTS = 8
"""Steps that each thread takes before all rest."""

TICKS_BETWEEN_RESTS = 40
"""Calls and commits of all sessions together, before all have committed."""

_CLEAR = text("DELETE FROM executions; UPDATE admission SET running = 0")


def make_world(engine: Engine, random: Random) -> World:
    """Begin with no execution, also where a walk before this one failed; `later` is after every wait."""
    with engine.connect() as connection:
        connection.execute(_CLEAR)
    later = datetime.now(UTC) + timedelta(days=1)
    return World(
        engine,
        later,
        max_executions=random.choice([1, 3]),
        size=random.choice([2, 2, 4, 8]),
        all_done_one_in=random.choice([1, 1, 3]),
        parents_one_in=random.choice([1, 2, 4, 1000]),
        failures_in_ten=random.choice([1, 5, 8]),
    )


def walk_at_once(engine: Engine, seed: int) -> None:
    """Take a seed's steps from several threads at once."""
    randoms = [Random(f"{seed}.{thread}") for thread in range(THREADS)]  # noqa: S311
    world, weights, choosing = make_world(engine, randoms[0]), choose_weights(randoms[0]), Lock()

    def take_steps(random: Random) -> None:
        for _ in range(STEPS_BETWEEN_RESTS):
            with choosing:
                call = choose(world, random, weights)
            answer = call.run(engine)
            with choosing:
                call.learn(answer)

    first = choose(world, randoms[0], weights)
    first.learn(first.run(engine))
    with ThreadPoolExecutor(THREADS) as threads:
        for _ in range(RESTS):
            list(threads.map(take_steps, randoms))
            world.assert_sound()
    world.finish()
    world.assert_sound()


def walk_in_order(engine: Engine, seed: int) -> list[str]:
    """Take a seed's steps in an order, and with commits, that the seed alone decides; return what was done."""
    random = Random(seed)  # noqa: S311
    world = make_world(engine, random)
    with Scheduler(engine, random, choose_weights(random)) as scheduler:
        try:
            for _ in range(RESTS):
                for _ in range(TICKS_BETWEEN_RESTS):
                    scheduler.tick(world)
                scheduler.rest()
                world.assert_sound()
            world.finish()
            world.assert_sound()
        except BaseException as error:
            error.add_note("\n".join([f"seed {seed}:", *scheduler.trace]))
            raise
        return scheduler.trace
