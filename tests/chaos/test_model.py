"""The model check for about a minute: transitions of several sessions at once over random graphs."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.store.model.walks import walk_at_once, walk_in_order

if TYPE_CHECKING:
    from collections.abc import Callable

    from sqlalchemy import Engine

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(240)]

SEEDS = range(1_000, 1_040)


@pytest.mark.parametrize("walk", [walk_in_order, walk_at_once])
def test_random_transitions_at_once_stay_sound(engine: Engine, walk: Callable[[Engine, int], object]) -> None:
    for seed in SEEDS:
        walk(engine, seed)
