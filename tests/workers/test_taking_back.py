"""A worker takes back at once what a dead child of it held; in a stop it is charged nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING
from uuid import uuid4

import pytest
from celery.worker import state
from sqlalchemy import func, select

from state_manager.store import tables
from tests import factories
from tests.store.attempts import claim, rows, statuses
from tests.store.invariants import assert_sound
from tests.store.sessions import register, session
from workers.process import current_process
from workers.request import take_back

if TYPE_CHECKING:
    from collections.abc import Iterator
    from uuid import UUID

    from sqlalchemy import Engine

    from tests.workers.broker import Broker

PID = 4_000_001


@pytest.fixture
def child(broker: Broker, database_uri: str) -> Iterator[UUID]:
    """Register a child of this process."""
    child = uuid4()
    with session(database_uri) as connection:
        register(connection, child, parent=current_process().id, pid=PID)
        yield child


def workers_on_the_list(engine: Engine) -> int:
    with engine.connect() as connection:
        return int(connection.scalar(select(func.count()).select_from(tables.workers)) or 0)


def test_attempts_of_a_dead_child_are_lost_at_once_and_sent_again(engine: Engine, broker: Broker, child: UUID) -> None:
    submitted = factories.submit(engine, factories.front(2), max_attempts=2)
    claim(engine, submitted, "s0", worker=child)
    claim(engine, submitted, "s1")

    take_back(PID, "it was killed")

    assert statuses(engine, submitted) == {"s0": "pending", "s1": "running"}
    row = rows(engine, submitted)["s0"]
    assert (row["attempt"], row["error_kind"], row["claim"]) == (1, "worker_lost", None)
    assert [message.heads for message in broker.take()] == [[str(submitted["s0"])]]
    assert workers_on_the_list(engine) == 0
    assert_sound(engine, submitted.execution_id)


def test_child_of_another_worker_with_this_number_keeps_its_attempts(
    engine: Engine, broker: Broker, database_uri: str
) -> None:
    submitted = factories.submit(engine, factories.front(1))
    other = uuid4()
    with session(database_uri) as connection:
        register(connection, other, parent=uuid4(), pid=PID)
        claim(engine, submitted, "s0", worker=other)
        take_back(PID, "it was killed")
    assert statuses(engine, submitted) == {"s0": "running"}
    assert workers_on_the_list(engine) == 1


def test_stop_charges_nobody(engine: Engine, broker: Broker, child: UUID, monkeypatch: pytest.MonkeyPatch) -> None:
    submitted = [factories.submit(engine, factories.front(1), max_attempts=1) for _ in range(2)]
    for one in submitted:
        claim(engine, one, "s0", worker=child)
    monkeypatch.setattr(state, "should_stop", 0)

    take_back(PID, "it was killed")

    assert [rows(engine, one)["s0"]["attempt"] for one in submitted] == [0, 0]
    assert {head for message in broker.take() for head in message.heads} == {str(one["s0"]) for one in submitted}
    assert workers_on_the_list(engine) == 0
