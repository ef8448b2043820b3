"""An attempt ends with an outcome, or with the reason for which it has none."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests import factories
from tests.store.attempts import claim
from workers.attempt import interrupts, runner
from workers.attempt.interrupts import Reason
from workers.process import current_process

if TYPE_CHECKING:
    from sqlalchemy import Engine

    from state_manager.store.transitions import Claimed
    from tests.workers.broker import Broker


@pytest.fixture
def attempt(engine: Engine, broker: Broker) -> Claimed:
    """Return an attempt that this process holds."""
    interrupts.install()
    (claimed,) = claim(engine, factories.submit(engine, factories.front(1)), "s0")
    current_process().held_attempts.hold([claimed])
    return claimed


def run(attempt: Claimed) -> runner.Finished | Reason:
    return runner.run(attempt, current_process().watchdog, current_process().notifier)


def test_attempt_that_ends_has_an_outcome(attempt: Claimed) -> None:
    end = run(attempt)
    assert isinstance(end, runner.Finished)
    assert (end.outcome.id, end.outcome.status, end.error) == (attempt.id, "completed", None)


def test_attempt_that_was_taken_away_before_its_start_has_no_outcome(attempt: Claimed) -> None:
    held = current_process().held_attempts.get(attempt)
    assert held is not None
    current_process().watchdog.take_away(held)
    assert run(attempt) is Reason.TAKEN_AWAY


def test_attempt_whose_process_stops_before_its_start_has_no_outcome(attempt: Claimed) -> None:
    current_process().watchdog.stop()
    assert run(attempt) is Reason.STOPPING


def test_attempt_that_is_not_held_any_more_has_no_outcome(attempt: Claimed) -> None:
    current_process().held_attempts.drop([attempt])
    assert run(attempt) is Reason.TAKEN_AWAY
