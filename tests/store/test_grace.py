"""No worker counts as lost right after a pause that stopped the workers and the reconciler alike."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest

from state_manager.maintenance import expired_leases, lost_workers
from state_manager.maintenance.grace import MARGIN_S, Grace, boot_time
from state_manager.store import leases
from tests.factories import front, submit
from tests.store.attempts import MANY, claim, statuses
from tests.store.recorder import Recorder, services

if TYPE_CHECKING:
    from sqlalchemy import Engine

LONG_AGO = datetime(2026, 1, 1, 12, tzinfo=UTC)
LEASE_S = 15
RENEWAL_S = LEASE_S / 3


@dataclass
class Clock:
    now: float = 1000

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    monkeypatch.setattr(leases, "GRACE_AFTER_START", timedelta(0))
    return Clock()


@pytest.fixture
def grace(engine: Engine, clock: Clock) -> Grace:
    """Return one that has seen a round."""
    grace = Grace(engine, LEASE_S, interval_s=1, clock=clock)
    grace.start_round()
    assert grace.is_over()
    return grace


def test_reconciler_that_slept_between_two_rounds_gives_one_renewals_time(grace: Grace, clock: Clock) -> None:
    clock.now += 17
    grace.start_round()
    assert not grace.is_over()
    clock.now += RENEWAL_S + MARGIN_S - 0.1
    grace.start_round()
    assert not grace.is_over()
    clock.now += 0.2
    assert grace.is_over()


def test_reconciler_that_slept_within_a_round_gives_it_too(grace: Grace, clock: Clock) -> None:
    grace.start_round()
    clock.now += RENEWAL_S + 0.1
    assert not grace.is_over()


def test_sleep_that_is_shorter_than_a_renewal_costs_nothing(grace: Grace, clock: Clock) -> None:
    for _ in range(10):
        clock.now += 1 + RENEWAL_S - 0.1
        grace.start_round()
        assert grace.is_over()


def test_reconciler_with_long_pauses_is_not_asleep(engine: Engine, clock: Clock) -> None:
    grace = Grace(engine, LEASE_S, interval_s=60, clock=clock)
    for _ in range(3):
        grace.start_round()
        assert grace.is_over()
        clock.now += 61


def test_promotion_gives_workers_time_to_come_back(grace: Grace, clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    before = leases.timeline(grace.engine)
    assert before == "00000001"
    monkeypatch.setattr(leases, "timeline", lambda _: "00000002")
    monkeypatch.setattr(leases, "GRACE_AFTER_START", timedelta(seconds=5))
    monkeypatch.setattr(leases, "has_been_up", lambda _: True)
    assert not grace.is_over()
    clock.now += 4.9
    assert not grace.is_over()
    clock.now += 0.2
    assert grace.is_over()


def test_leases_that_ran_out_while_the_reconciler_slept_are_left_for_their_renewal(
    engine: Engine, clock: Clock
) -> None:
    one = services(engine, Recorder(), MANY)
    one.grace.clock = clock
    submitted = submit(engine, front(1), max_attempts=2)
    assert (lost_workers.run_once(one), expired_leases.run_once(one)) == (0, 0)
    claim(engine, submitted, "s0", now=LONG_AGO)
    clock.now += 17
    assert expired_leases.run_once(one) == 0
    assert statuses(engine, submitted) == {"s0": "running"}
    found = []
    for _ in range(3):
        clock.now += 3
        found.append(expired_leases.run_once(one))
    assert found == [0, 1, 0]


def test_boot_time_goes_on() -> None:
    assert boot_time() <= boot_time()
