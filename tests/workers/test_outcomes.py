"""Outcomes and releases that PostgreSQL refuses together are written one by one."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from state_manager.store import transitions
from tests import factories
from tests.store.attempts import MANY, claim, completed, failed, rows, statuses
from tests.store.invariants import assert_sound
from tests.workers.refusing import ANY_OUTCOME, COMPLETED, refusing
from workers import outcomes

if TYPE_CHECKING:
    from sqlalchemy import Engine

    from tests.factories import Submitted

REFUSALS = ["54000", "53200", "22P05", "XX000"]
GRAPH: factories.Graph = {"a": [], "victim": [], "c": [], "join": ["a", "c"], "behind": ["victim"]}


@pytest.fixture
def submitted(engine: Engine) -> Submitted:
    return factories.submit(engine, GRAPH)


@pytest.mark.parametrize("sqlstate", REFUSALS)
def test_one_refused_outcome_costs_the_others_nothing(engine: Engine, submitted: Submitted, sqlstate: str) -> None:
    attempts = claim(engine, submitted, "a", "victim", "c")
    with refusing(engine, sqlstate, COMPLETED):
        recorded = outcomes.record(engine, [completed(one) for one in attempts], max_concurrent=MANY)

    assert statuses(engine, submitted) == {
        "a": "completed",
        "victim": "failed",
        "c": "completed",
        "join": "pending",
        "behind": "skipped",
    }
    assert recorded.settled.landed == {one.id for one in attempts}
    assert recorded.settled.ready == (submitted["join"],)
    (failure,) = recorded.refused
    assert (failure.id, failure.error_kind, failure.retry_after_s) == (
        submitted["victim"],
        "configuration_error",
        None,
    )
    assert_sound(engine, submitted.execution_id)


def test_outcome_that_is_refused_as_a_failure_too_is_not_recorded(engine: Engine, submitted: Submitted) -> None:
    attempts = claim(engine, submitted, "a", "victim")
    with refusing(engine, "XX000", ANY_OUTCOME):
        recorded = outcomes.record(engine, [failed(one) for one in attempts], max_concurrent=MANY)

    assert recorded.settled.landed == {submitted["a"]}
    assert rows(engine, submitted)["victim"]["status"] == "running"


@pytest.mark.parametrize("sqlstate", REFUSALS)
def test_one_refused_release_costs_the_others_nothing(engine: Engine, submitted: Submitted, sqlstate: str) -> None:
    attempts = claim(engine, submitted, "a", "victim", "c")
    with refusing(engine, sqlstate, ANY_OUTCOME):
        released = outcomes.release(engine, attempts)

    assert set(released) == {submitted["a"], submitted["c"]}
    assert rows(engine, submitted)["victim"]["status"] == "running"
    assert outcomes.release(engine, attempts) == [submitted["victim"]]


def test_what_was_taken_away_is_not_released(engine: Engine, submitted: Submitted) -> None:
    attempts = claim(engine, submitted, "a", "c")
    transitions.release(engine, attempts[:1])

    assert outcomes.release(engine, attempts) == [submitted["c"]]
