"""Inputs and outputs that are large together: what a claim, a settle and a look at a satellite leave out."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING
from uuid import uuid4

import pytest

from state_manager.store import events, satellites, transitions
from state_manager.store.transitions import ClaimBudget
from tests.factories import Graph, fan_in, front, submit
from tests.store.attempts import MANY, WORKER, claim, completed, rows, settle, statuses
from tests.store.invariants import assert_sound

if TYPE_CHECKING:
    from sqlalchemy import Engine

    from state_manager.store.transitions import Claimed
    from tests.factories import Submitted

HUNDRED = "x" * 98
"""An output of a hundred bytes of JSON."""

TWO_JOINS: Graph = {"a": [], "b": ["a"], "c": ["a"]}


def complete_with_output(engine: Engine, submitted: Submitted, *names: str) -> None:
    settle(engine, *(completed(one, HUNDRED) for one in claim(engine, submitted, *names)))


def budget(max_input_bytes: int) -> ClaimBudget:
    durations_ms = {"satellite/test/nothing": 1.0}
    return ClaimBudget(uuid4(), WORKER, "a worker", 15, ["satellites"], durations_ms, 1000, 100, max_input_bytes)


def described(attempts: list[Claimed] | tuple[Claimed, ...]) -> list[tuple[str, int, bool]]:
    return [(one.name, one.input_bytes, one.dependency_outputs is None) for one in attempts]


def test_inputs_that_are_too_large_together_are_left_out_of_a_claim(engine: Engine) -> None:
    submitted = submit(engine, fan_in(3))
    complete_with_output(engine, submitted, "s0", "s1", "s2")
    assert described(claim(engine, submitted, "join", max_input_bytes=299)) == [("join", 300, True)]


def test_inputs_as_large_as_allowed_are_in_a_claim(engine: Engine) -> None:
    submitted = submit(engine, fan_in(3))
    complete_with_output(engine, submitted, "s0", "s1", "s2")
    assert described(claim(engine, submitted, "join", max_input_bytes=300)) == [("join", 300, False)]


def test_claim_takes_as_many_as_fit_and_leaves_the_rest_ready(engine: Engine) -> None:
    submitted = submit(engine, TWO_JOINS)
    complete_with_output(engine, submitted, "a")
    assert described(claim(engine, submitted, "b", "c", max_input_bytes=199)) == [("b", 100, False)]
    assert described(claim(engine, submitted, "c", max_input_bytes=199)) == [("c", 100, False)]
    assert_sound(engine, submitted.execution_id)


@pytest.mark.parametrize(("allowed", "names"), [(99, ["b", "c"]), (199, ["b"]), (200, ["b", "c"])])
def test_settle_claims_as_many_as_fit(engine: Engine, allowed: int, names: list[str]) -> None:
    submitted = submit(engine, TWO_JOINS)
    (attempt,) = claim(engine, submitted, "a")
    outcomes, limited = [completed(attempt, HUNDRED)], budget(allowed)
    settled = transitions.settle(engine, outcomes, max_concurrent=MANY, budget=limited)
    assert described(settled.claimed) == [(name, 100, allowed < 100) for name in names]
    assert len(settled.ready) == len(TWO_JOINS) - 1 - len(names)
    again = transitions.settle(engine, outcomes, max_concurrent=MANY, budget=limited)
    assert again.claimed == settled.claimed
    assert_sound(engine, submitted.execution_id)


def test_outcomes_that_are_too_large_for_one_call_take_several(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transitions, "CALL_BYTES", 200)
    submitted = submit(engine, fan_in(5))
    attempts = claim(engine, submitted, *front(5))
    outcomes = [completed(one, HUNDRED) for one in attempts]
    settled = transitions.settle(engine, outcomes, max_concurrent=MANY, budget=budget(1000))
    assert settled.landed == {one.id for one in attempts}
    assert described(settled.claimed) == [("join", 500, False)]
    assert_sound(engine, submitted.execution_id)


def test_satellite_is_read_without_inputs_that_are_too_large(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    submitted = submit(engine, fan_in(3))
    complete_with_output(engine, submitted, "s0", "s1", "s2")
    whole = satellites.get(engine, submitted["join"])
    monkeypatch.setattr(satellites, "INPUT_IN_FULL_BYTES", 299)
    light = satellites.get(engine, submitted["join"])
    assert whole is not None
    assert light is not None
    assert (whole.input_omitted, whole.dependency_outputs) == (False, dict.fromkeys(["s0", "s1", "s2"], HUNDRED))
    assert (light.input_omitted, light.dependency_outputs) == (True, None)


def test_claim_sent_again_answers_all_that_its_token_holds(engine: Engine) -> None:
    submitted = submit(engine, {"a": [], "b": [], "c": ["a"]})
    token = uuid4()
    (held,) = claim(engine, submitted, "b", "c", token=token)
    settle(engine, *map(completed, claim(engine, submitted, "a")))
    again = claim(engine, submitted, "b", "c", token=token)
    assert [one.name for one in again] == ["b", "c"]
    assert again[0] == held
    assert statuses(engine, submitted) == {"a": "completed", "b": "running", "c": "running"}
    assert rows(engine, submitted)["b"]["attempt"] == 1
    assert_sound(engine, submitted.execution_id)


def test_no_call_carries_more_outputs_than_it_may(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transitions, "CALL_BYTES", 200)
    submitted = submit(engine, front(5))
    attempts = claim(engine, submitted, *submitted.ids)
    transitions.settle(engine, [completed(one, HUNDRED) for one in attempts], max_concurrent=MANY)
    log = events.read(engine, submitted.execution_id, after=0, limit=100) or []
    moments = Counter(one.at for one in log if one.kind == "completed" and one.satellite_id is not None)
    assert [moments[at] for at in sorted(moments)] == [2, 2, 1]
