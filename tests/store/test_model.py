"""The model check, bounded: more of it in `tests/chaos/test_model.py`, all that one likes by hand."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.store.model.walks import walk_at_once, walk_in_order

if TYPE_CHECKING:
    from sqlalchemy import Engine

SEEDS = range(6)


def test_walks_whose_order_a_seed_decides_stay_sound(engine: Engine) -> None:
    for seed in SEEDS:
        walk_in_order(engine, seed)


def test_walks_of_threads_at_once_stay_sound(engine: Engine) -> None:
    for seed in SEEDS:
        walk_at_once(engine, seed)


@pytest.mark.parametrize("seed", [3, 4])
def test_seed_replays_its_walk_exactly(engine: Engine, seed: int) -> None:
    trace = walk_in_order(engine, seed)
    assert any("waits" in line for line in trace)
    assert walk_in_order(engine, seed) == trace
