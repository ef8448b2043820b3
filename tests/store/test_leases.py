"""Leases: which workers are there, what they hold, how it stays theirs, and who counts as silent."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING
from uuid import UUID, uuid4

from sqlalchemy import select, text

from state_manager.states import ExecutionStatus
from state_manager.store import executions, leases, tables, workers
from tests.factories import chain, front, report_worker, submit
from tests.store.attempts import LEASE, WORKER, claim, completed, failed_for_now, rows, settle
from tests.store.invariants import assert_sound
from tests.store.rivals import rival_to
from tests.store.sessions import break_off, lost_worker, register, session

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy import Engine

    from state_manager.store.transitions import Claimed
    from tests.factories import Submitted

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
ANOTHER = UUID(int=2)
_RENEW = text("SELECT taken_away FROM renew(:worker, :ids, :claims, :lease, :now)")


def renew(
    engine: Engine, attempts: Sequence[Claimed], *, worker: UUID = WORKER, now: datetime | None = None
) -> set[UUID]:
    """Renew as a worker that holds these attempts; answer those that are no longer its own."""
    held = {"ids": [one.id for one in attempts], "claims": [one.claim for one in attempts]}
    with engine.connect() as connection:
        return set(connection.execute(_RENEW, {**held, "worker": worker, "lease": LEASE, "now": now}).scalar_one())


def lease_ends(engine: Engine, submitted: Submitted) -> dict[str, datetime | None]:
    return {name: row["lease_expires_at"] for name, row in rows(engine, submitted).items()}


def registered(engine: Engine) -> set[UUID]:
    with engine.connect() as connection:
        return set(connection.execute(select(tables.workers.c.id)).scalars())


def test_renewal_prolongs_what_is_held_and_nothing_else(engine: Engine) -> None:
    submitted = submit(engine, front(3), now=NOON)
    attempts = claim(engine, submitted, *submitted.ids, now=NOON)
    assert renew(engine, attempts[:2], now=NOON + timedelta(seconds=5)) == set()
    prolonged = NOON + timedelta(seconds=5) + LEASE
    assert lease_ends(engine, submitted) == {"s0": prolonged, "s1": prolonged, "s2": NOON + LEASE}


def test_renewal_says_that_its_worker_is_there(engine: Engine) -> None:
    report_worker(engine, WORKER, "a worker", ["satellites"])
    assert renew(engine, [], now=NOON) == set()
    with engine.connect() as connection:
        assert connection.execute(select(tables.workers.c.renewed_at)).scalar_one() == NOON
    assert workers.live_workers(engine, timedelta(days=1)) == []
    renew(engine, [])
    assert [one.id for one in workers.live_workers(engine, timedelta(days=1))] == [WORKER]


def test_renewal_names_what_was_taken_away(engine: Engine) -> None:
    submitted = submit(engine, front(4), max_attempts=2)
    attempts = claim(engine, submitted, *submitted.ids)
    settled, expired, claimed_again, still_mine = attempts
    settle(engine, completed(settled))
    lost = [failed_for_now(expired, 0), failed_for_now(claimed_again, 0)]
    leases.expire(engine, lost, lease_over=False, max_concurrent=1)
    (present,) = claim(engine, submitted, claimed_again.name, worker=ANOTHER)
    before = lease_ends(engine, submitted)
    assert renew(engine, attempts) == {settled.id, expired.id, claimed_again.id}
    after = lease_ends(engine, submitted)
    assert after.pop(still_mine.name) > before.pop(still_mine.name)  # type: ignore[operator]  # it runs: it has one
    assert after == before
    assert renew(engine, [present], worker=ANOTHER) == set()
    assert_sound(engine, submitted.execution_id)


def test_renewal_names_what_ran_in_an_execution_that_was_stopped(engine: Engine) -> None:
    submitted = submit(engine, chain(2))
    (attempt,) = claim(engine, submitted, "s0")
    executions.stop(engine, submitted.execution_id, ExecutionStatus.CANCELLED, max_concurrent=1)
    assert renew(engine, [attempt]) == {attempt.id}


def test_renewal_passes_over_what_a_rival_settles(engine: Engine) -> None:
    submitted = submit(engine, front(2), now=NOON)
    attempts = claim(engine, submitted, "s0", "s1", now=NOON)
    with rival_to(engine) as (first, rival):
        settle(first, completed(attempts[0]))
        assert rival.passes(renew, attempts, now=NOON + timedelta(seconds=1)) == set()
        prolonged = NOON + timedelta(seconds=1) + LEASE
        assert lease_ends(engine, submitted) == {"s0": NOON + LEASE, "s1": prolonged}
    assert renew(engine, attempts) == {attempts[0].id}


def test_overdue_are_those_whose_lease_is_over(engine: Engine) -> None:
    submitted = submit(engine, front(5), now=NOON)
    claim(engine, submitted, "s0", "s1", "s2", now=NOON)
    claim(engine, submitted, "s3", now=NOON + timedelta(seconds=1))
    assert list(leases.overdue(engine, 10, NOON + LEASE - timedelta(microseconds=1))) == []
    found = leases.overdue(engine, 10, NOON + LEASE)
    assert {row.id for row in found} == {submitted[name] for name in ("s0", "s1", "s2")}
    assert len(leases.overdue(engine, 2, NOON + LEASE)) == 2
    assert len(leases.overdue(engine, 10)) == 4


def test_workers_hold_what_they_claimed_until_it_is_settled(engine: Engine) -> None:
    submitted = submit(engine, front(4))
    done, _ = claim(engine, submitted, "s0", "s1")
    claim(engine, submitted, "s2", worker=ANOTHER)
    settle(engine, completed(done))
    (held,) = leases.held_by(engine, [WORKER])
    assert (held.id, held.execution_id, held.attempt) == (submitted["s1"], submitted.execution_id, 1)
    assert {row.id for row in leases.held_by(engine, [WORKER, ANOTHER])} == {submitted["s1"], submitted["s2"]}
    assert list(leases.held_by(engine, [])) == []


def test_worker_is_silent_once_its_session_is_gone(engine: Engine, database_uri: str) -> None:
    with session(database_uri) as connection:
        register(connection, WORKER)
        assert leases.silent_sessions(engine) == set()
        break_off(engine, connection)
        (silent,) = leases.silent_sessions(engine)
        assert (silent.worker, silent.pid) == (WORKER, connection.info.backend_pid)


def test_worker_that_registered_a_newer_session_is_not_silent(engine: Engine, database_uri: str) -> None:
    with session(database_uri) as older, session(database_uri) as newer:
        register(older, WORKER)
        break_off(engine, older)
        (before,) = leases.silent_sessions(engine)
        register(newer, WORKER)
        assert leases.silent_sessions(engine) == set()
        break_off(engine, newer)
        (after,) = leases.silent_sessions(engine)
    assert after.worker == before.worker
    assert after != before


def test_worker_behind_a_pooler_is_never_silent(engine: Engine, database_uri: str) -> None:
    with session(database_uri) as connection:
        register(connection, WORKER, behind_a_pooler=True)
        break_off(engine, connection)
    assert leases.silent_sessions(engine) == set()
    assert registered(engine) == {WORKER}


def test_child_is_found_by_its_parent_and_its_pid(engine: Engine, database_uri: str) -> None:
    child = uuid4()
    with session(database_uri) as connection:
        register(connection, WORKER, pid=1)
        register(connection, child, parent=WORKER, pid=2)
        register(connection, uuid4(), parent=ANOTHER, pid=2)
    assert leases.children_of(engine, WORKER, 2) == [child]
    assert leases.children_of(engine, WORKER, 1) == []


def test_lost_workers_are_struck_off(engine: Engine, database_uri: str) -> None:
    gone = lost_worker(engine, database_uri)
    report_worker(engine, WORKER, "a worker", ["satellites"])
    leases.deregister(engine, {gone})
    assert registered(engine) == {WORKER}
    assert leases.silent_sessions(engine) == set()


def test_worker_that_is_silent_for_long_is_deregistered_unless_its_loss_is_still_to_be_repaired(
    engine: Engine, database_uri: str
) -> None:
    idle, holding = (lost_worker(engine, database_uri) for _ in range(2))
    pooled, present = uuid4(), uuid4()
    for worker in (pooled, present):
        report_worker(engine, worker, "a worker", ["satellites"])
    submitted = submit(engine, front(2))
    claim(engine, submitted, "s0", worker=holding)
    claim(engine, submitted, "s1", worker=pooled)
    for worker in (idle, holding, pooled):
        renew(engine, [], worker=worker, now=NOON)
    leases.deregister_silent(engine, timedelta(minutes=10))
    assert registered(engine) == {holding, present}


def test_renewal_says_whether_its_worker_is_on_the_list(engine: Engine) -> None:
    report_worker(engine, WORKER, "a worker", ["satellites"])
    known = text("SELECT known FROM renew(:worker, '{}', '{}', :lease)")
    with engine.connect() as connection:
        answers = [connection.scalar(known, {"worker": one, "lease": LEASE}) for one in (WORKER, ANOTHER)]
    assert answers == [True, False]
