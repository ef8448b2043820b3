"""The context that a satellite receives, and the outcome for what it returns or raises."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast
from uuid import uuid4

import pytest

from state_manager.retry import RetryPolicy
from state_manager.store.transitions import Claimed
from workers.attempt import runner
from workers.attempt.runner import Finished
from workers.process import current_process

if TYPE_CHECKING:
    from state_manager.notifications import Notifier
    from tests.workers.broker import Broker


def attempt(uses: str, **fields: Any) -> Claimed:
    given: dict[str, Any] = {
        "id": uuid4(), "execution_id": uuid4(), "claim": uuid4(), "name": "it", "identifier": f"satellite/test/{uses}",
        "attempt": 1, "timeout_s": None, "retry_policy": RetryPolicy(base_delay=8, jitter=False).as_json(),
        "max_attempts": 3, "config": {}, "input": {}, "input_bytes": 0, "dependency_outputs": None,
    }  # fmt: skip
    return Claimed(**given | fields)


def run(one: Claimed) -> Finished:
    process = current_process()
    process.held_attempts.hold([one])
    finished = runner.run(one, process.watchdog, cast("Notifier", None))
    assert isinstance(finished, Finished)
    return finished


def test_own_input_wins_over_a_dependencys_output_of_the_same_name(broker: Broker) -> None:
    outputs = {"a": "of the dependency", "b": 2}
    finished = run(attempt("asynchronous", input={"a": "own"}, dependency_outputs=outputs))
    assert finished.outcome.output == {"input": {"a": "own", "b": 2}}


def test_outcome_names_its_token_and_the_bytes_of_its_output(broker: Broker) -> None:
    one = attempt("asynchronous")
    outcome = run(one).outcome
    assert (outcome.id, outcome.claim, outcome.status) == (one.id, one.claim, "completed")
    assert outcome.output_bytes == len('{"input": {}}')
    assert outcome.retry_after_s is None


@pytest.mark.parametrize(("number", "wait_s"), [(1, 8), (2, 16), (3, None)])
def test_failure_is_tried_again_as_its_policy_says(broker: Broker, number: int, wait_s: float | None) -> None:
    outcome = run(attempt("fail", attempt=number)).outcome
    assert (outcome.status, outcome.error_kind, outcome.retry_after_s) == ("failed", "logic_error", wait_s)


def test_retry_has_raised_the_limit_of_the_policy(broker: Broker) -> None:
    assert run(attempt("fail", attempt=3, max_attempts=6)).outcome.retry_after_s == 32


@pytest.mark.parametrize("what", ["object", "nan", "nul", "surrogate", "bytes", "set"])
def test_output_that_cannot_be_kept_is_a_configuration_error(broker: Broker, what: str) -> None:
    outcome = run(attempt("return", config={"what": what})).outcome
    assert (outcome.error_kind, outcome.output, outcome.retry_after_s) == ("configuration_error", None, None)


def test_output_beyond_the_limit_is_a_configuration_error(broker: Broker, monkeypatch: pytest.MonkeyPatch) -> None:
    outcome = run(attempt("return", config={"what": "large"})).outcome
    assert outcome.error_kind == "configuration_error"
    assert "MAX_OUTPUT_BYTES" in (outcome.error or "")


def test_inputs_beyond_the_limit_are_a_configuration_error(broker: Broker) -> None:
    outcome = run(attempt("nothing", input_bytes=2**40)).outcome
    assert (outcome.error_kind, outcome.retry_after_s) == ("configuration_error", None)
    assert "MAX_INPUT_BYTES" in (outcome.error or "")


def test_timeout_is_an_error_of_its_own_kind(broker: Broker) -> None:
    outcome = run(attempt("stubborn-async", timeout_s=0.1)).outcome
    assert (outcome.error_kind, outcome.retry_after_s) == ("timeout", 8)


def test_traceback_begins_in_the_satellite(broker: Broker) -> None:
    outcome = run(attempt("fail")).outcome
    assert "runner.py" not in (outcome.traceback or "")
    assert "satellites.py" in (outcome.traceback or "")


@pytest.mark.parametrize("uses", ["raise", "raise-async"])
@pytest.mark.parametrize("kind", ["CancelledError", "KeyboardInterrupt", "GeneratorExit", "SystemExit", "Odd"])
def test_exception_of_any_kind_is_an_outcome(broker: Broker, uses: str, kind: str) -> None:
    outcome = run(attempt(uses, config={"kind": kind})).outcome
    assert (outcome.status, outcome.error_kind) == ("failed", "logic_error")
