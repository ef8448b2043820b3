"""The watchdog interrupts what has to end, and gives up on what does not end then."""

from __future__ import annotations

import time
from contextlib import suppress
from typing import TYPE_CHECKING

import pytest
from uuid_utils.compat import uuid4

from state_manager.store.transitions import Claimed
from tests.waiting import until
from workers.attempt import interrupts, watchdog
from workers.attempt.held_attempts import HeldAttempts
from workers.attempt.interrupts import Interrupted, Reason
from workers.attempt.watchdog import Watchdog

if TYPE_CHECKING:
    from workers.attempt.held_attempts import HeldAttempt

LONG_S = 60


@pytest.fixture(autouse=True)
def _soon(monkeypatch: pytest.MonkeyPatch) -> None:
    interrupts.install()
    monkeypatch.setattr(watchdog, "YIELD_S", 0.2)
    monkeypatch.setattr(watchdog, "STOP_YIELD_S", 0.2)


class Watched:
    """A watchdog, the attempts that it watches, and those that it gave up."""

    def __init__(self) -> None:
        self.held = HeldAttempts()
        self.given_up: list[HeldAttempt] = []
        self.watchdog = Watchdog(self.held, self.given_up.append, ends_process=False)

    def claim(self, *, timeout_s: float | None = None) -> Claimed:
        attempt = Claimed(
            id=uuid4(), execution_id=uuid4(), claim=uuid4(), name="one", identifier="satellite/test/one", attempt=1,
            timeout_s=timeout_s, retry_policy={}, max_attempts=1, config={}, input={}, input_bytes=0,
            dependency_outputs=None,
        )  # fmt: skip
        self.held.hold([attempt])
        return attempt

    def take_away(self, attempt: Claimed) -> None:
        held = self.held.get(attempt)
        assert held is not None
        self.watchdog.take_away(held)


def test_attempt_past_its_timeout_is_interrupted() -> None:
    watched = Watched()
    with pytest.raises(Interrupted), watched.watchdog.watch(watched.claim(timeout_s=0.05)) as run, run.exposed():
        time.sleep(LONG_S)
    assert run.reason is Reason.TIMEOUT
    assert watched.given_up == []


def test_timeout_that_comes_before_an_earlier_ones_is_not_overslept() -> None:
    watched = Watched()
    with watched.watchdog.watch(watched.claim(timeout_s=LONG_S)) as run, run.exposed():
        pass
    with pytest.raises(Interrupted), watched.watchdog.watch(watched.claim(timeout_s=0.05)) as run, run.exposed():
        time.sleep(LONG_S)


@pytest.mark.parametrize("reason", Reason)
def test_attempt_that_ignores_its_interruption_is_given_up(reason: Reason) -> None:
    watched = Watched()
    attempt = watched.claim(timeout_s=0.05 if reason is Reason.TIMEOUT else None)
    with watched.watchdog.watch(attempt) as run, run.exposed():
        with suppress(Interrupted):
            if reason is Reason.TAKEN_AWAY:
                watched.take_away(attempt)
            if reason is Reason.STOPPING:
                watched.watchdog.stop()
        soon = time.monotonic() + 10
        while not watched.given_up and time.monotonic() < soon:
            with suppress(Interrupted):
                time.sleep(0.01)
    assert run.reason is reason
    assert [one.id for one in watched.given_up] == [attempt.id]


@pytest.mark.parametrize("reason", [Reason.TAKEN_AWAY, Reason.STOPPING])
def test_attempt_that_must_not_start_does_not(reason: Reason) -> None:
    watched = Watched()
    attempt = watched.claim()
    if reason is Reason.TAKEN_AWAY:
        watched.take_away(attempt)
    else:
        watched.watchdog.stop()
    with pytest.raises(Interrupted), watched.watchdog.watch(attempt) as run, run.exposed():
        pytest.fail("it began")


def test_attempt_that_ended_in_time_is_not_given_up() -> None:
    watched = Watched()
    attempt = watched.claim(timeout_s=0.05)
    with pytest.raises(Interrupted), watched.watchdog.watch(attempt) as run, run.exposed():
        time.sleep(LONG_S)
    end = time.monotonic() + 2 * watchdog.YIELD_S
    until(lambda: time.monotonic() > end)
    assert watched.given_up == []


def test_attempt_is_held_by_its_token() -> None:
    watched = Watched()
    first = watched.claim()
    again = Claimed(**{field: getattr(first, field) for field in Claimed.__slots__} | {"claim": uuid4()})
    watched.held.hold([again])
    assert [one.claim for one in watched.held.superseded()] == [first.claim]
    assert [one.claim for one in watched.held.to_renew().values()] == [again.claim]

    watched.held.drop([first])

    assert watched.held.get(first) is None
    assert watched.held.get(again) is not None


def test_attempt_that_is_not_held_any_more_does_not_start() -> None:
    watched = Watched()
    attempt = watched.claim()
    watched.held.drop([attempt])
    with pytest.raises(Interrupted), watched.watchdog.watch(attempt) as run, run.exposed():
        pytest.fail("it began")


def test_stop_interrupts_what_runs() -> None:
    watched = Watched()
    with pytest.raises(Interrupted), watched.watchdog.watch(watched.claim()) as run, run.exposed():
        watched.watchdog.stop()
        until(lambda: None, within_s=10, what="the interruption comes")
    assert run.reason is Reason.STOPPING
