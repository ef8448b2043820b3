"""Held attempts are kept by satellite and token: two threads may hold one satellite after each other."""

from __future__ import annotations

from dataclasses import dataclass, field
from uuid import UUID, uuid4

from workers.attempt.held_attempts import HeldAttempts


@dataclass(frozen=True)
class Attempt:
    id: UUID
    claim: UUID = field(default_factory=uuid4)


def test_thread_that_drops_its_attempt_leaves_the_one_of_another() -> None:
    held, satellite = HeldAttempts(), uuid4()
    first, second = Attempt(satellite), Attempt(satellite)
    held.hold([first])
    held.hold([second])
    held.drop([first])
    held.drop([first])
    assert held.get(first) is None
    assert [one.claim for one in held.all()] == [second.claim]


def test_later_claim_of_a_satellite_is_renewed_and_the_earlier_one_is_superseded() -> None:
    held, satellite = HeldAttempts(), uuid4()
    first, second, other = Attempt(satellite), Attempt(satellite), Attempt(uuid4())
    held.hold([first, other])
    held.hold([second])
    assert {one.claim for one in held.to_renew().values()} == {second.claim, other.claim}
    assert [one.claim for one in held.superseded()] == [first.claim]


def test_what_was_taken_away_has_no_lease_to_renew() -> None:
    held, attempt = HeldAttempts(), Attempt(uuid4())
    held.hold([attempt])
    (one,) = held.all()
    one.taken_away = True
    assert held.to_renew() == {}
    assert held.superseded() == []
