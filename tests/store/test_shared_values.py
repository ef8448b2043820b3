"""Values that the satellites of an execution share: whose they are, and what happens at the same time."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import TYPE_CHECKING
from uuid import uuid4

import pytest
from sqlalchemy import delete, select

from state_manager.errors import LateOutcome
from state_manager.store import shared_values
from state_manager.store.data_tables import shared_values as table
from state_manager.store.shared_values import TooManyKeys
from state_manager.store.tables import executions
from tests.factories import front, submit
from tests.store.attempts import claim, completed, settle, take_away
from tests.store.rivals import rival_to

if TYPE_CHECKING:
    from collections.abc import Callable

    from sqlalchemy import Engine

    from state_manager.store.transitions import Claimed

WRITES: dict[str, Callable[[Engine, Claimed], object]] = {
    "put": lambda engine, attempt: shared_values.put(engine, attempt, "key", "2"),
    "increment": lambda engine, attempt: shared_values.increment(engine, attempt, "key", 1),
    "delete": lambda engine, attempt: shared_values.delete(engine, attempt, "key"),
}
each_write = pytest.mark.parametrize("write", WRITES.values(), ids=WRITES)


def attempts(engine: Engine, number: int = 1) -> list[Claimed]:
    submitted = submit(engine, front(number))
    return claim(engine, submitted, *front(number))


def test_satellites_of_an_execution_share_values_and_others_do_not(engine: Engine) -> None:
    (one, another), (stranger,) = attempts(engine, 2), attempts(engine)
    shared_values.put(engine, one, "key", '{"a": 1}')
    assert shared_values.read(engine, another.execution_id, "key") == '{"a": 1}'
    assert shared_values.read(engine, stranger.execution_id, "key") is None


def test_later_value_replaces_the_one_before(engine: Engine) -> None:
    (one,) = attempts(engine)
    for value in ("1", '"\\u0000"', "1e300"):
        shared_values.put(engine, one, "key", value)
        assert shared_values.read(engine, one.execution_id, "key") == value


def test_increments_at_the_same_time_all_count_and_each_has_a_number_of_its_own(engine: Engine) -> None:
    (one,) = attempts(engine)
    with ThreadPoolExecutor(8) as threads:
        numbers = list(threads.map(lambda _: shared_values.increment(engine, one, "n", 1), range(200)))
    assert sorted(numbers) == list(range(1, 201))


def test_increment_adds_to_what_a_rival_inserts_meanwhile(engine: Engine) -> None:
    (one,) = attempts(engine)
    with rival_to(engine) as (first, rival):
        assert shared_values.increment(first, one, "n", 2) == 2
        later = rival.waits(shared_values.increment, one, "n", 3)
    assert later.result() == 5


def test_decimals_add_up_as_they_are_written(engine: Engine) -> None:
    (one,) = attempts(engine)
    assert [shared_values.increment(engine, one, "n", by) for by in (0.1, 0.2, 1, -1.3)] == [0.1, 0.3, 1.3, 0.0]


@pytest.mark.parametrize("value", ['"1"', "true", "null", "[1]"])
def test_what_is_no_number_is_left_as_it_is(engine: Engine, value: str) -> None:
    (one,) = attempts(engine)
    shared_values.put(engine, one, "key", value)
    with pytest.raises(TypeError, match="'key' is no number"):
        shared_values.increment(engine, one, "key", 1)
    assert shared_values.read(engine, one.execution_id, "key") == value


@each_write
def test_attempt_that_was_taken_away_writes_nothing(engine: Engine, write: Callable[[Engine, Claimed], object]) -> None:
    (one,) = attempts(engine)
    shared_values.put(engine, one, "key", "1")
    take_away(engine, one.id)
    with pytest.raises(LateOutcome):
        write(engine, one)
    assert shared_values.read(engine, one.execution_id, "key") == "1"


@each_write
def test_another_token_writes_nothing(engine: Engine, write: Callable[[Engine, Claimed], object]) -> None:
    (one,) = attempts(engine)
    with pytest.raises(LateOutcome):
        write(engine, replace(one, claim=uuid4()))


def test_settle_waits_for_a_write_of_its_attempt(engine: Engine) -> None:
    (one,) = attempts(engine)
    with rival_to(engine) as (first, rival):
        shared_values.put(first, one, "key", "1")
        later = rival.waits(settle, completed(one))
    assert later.result().landed == {one.id}


def test_keys_are_limited_and_known_ones_can_still_be_written(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shared_values, "KEYS", 2)
    (one,) = attempts(engine)
    shared_values.put(engine, one, "a", "1")
    shared_values.increment(engine, one, "b", 1)
    for write in (
        lambda: shared_values.put(engine, one, "c", "1"),
        lambda: shared_values.increment(engine, one, "c", 1),
    ):
        with pytest.raises(TooManyKeys, match="has 2 keys already: there is no room for 'c'"):
            write()
    shared_values.put(engine, one, "a", "2")
    assert shared_values.increment(engine, one, "b", 1) == 2
    shared_values.delete(engine, one, "a")
    shared_values.put(engine, one, "c", "1")


def test_values_go_with_their_execution(engine: Engine) -> None:
    (one,) = attempts(engine)
    shared_values.put(engine, one, "key", "1")
    with engine.connect() as connection:
        connection.execute(delete(executions).where(executions.c.id == one.execution_id))
        assert connection.execute(select(table)).all() == []
