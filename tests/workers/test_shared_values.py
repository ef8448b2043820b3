"""`context.store` in a worker: from satellites of every kind, and while the database is away."""

from __future__ import annotations

import asyncio
import threading
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest

from exospherehost import ConfigurationError, TransientError
from exospherehost.store import Store
from state_manager.store import shared_values
from state_manager.store.engine import connect, ping
from state_manager.store.outages import retry_until_available
from tests.factories import front, submit
from tests.processes import free_port
from tests.store.attempts import claim
from workers.attempt import database, interrupts
from workers.attempt.interrupts import Interrupted, Reason, interruptible
from workers.attempt.redaction import Redactor
from workers.attempt.shared_values import SharedValues

if TYPE_CHECKING:
    from sqlalchemy import Engine

    from tests.workers.broker import Broker


@pytest.fixture
def nowhere() -> Engine:
    """Return a pool of connections to where no database listens."""
    return connect(f"postgresql://127.0.0.1:{free_port()}/none")


@pytest.fixture
def store(broker: Broker, engine: Engine) -> Store:
    (attempt,) = claim(engine, submit(engine, front(1)), "s0")
    return Store(SharedValues(attempt, Redactor()))


def test_values_and_counters_come_back(store: Store) -> None:
    store.put("key", {"ä": [1, None]})
    store.put("nul", "a\0b")
    assert (store.get("key"), store.get("nul"), store.get("other", 7)) == ({"ä": [1, None]}, "a\0b", 7)
    assert [store.increment("n"), store.increment("n", 2.5)] == [1, 3.5]
    store.delete("key")
    assert store.get("key") is None


def test_refusals_are_configuration_errors(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    store.put("text", "a")
    with pytest.raises(ConfigurationError, match="'text' is not incremented"):
        store.increment("text")
    monkeypatch.setattr(shared_values, "KEYS", 1)
    for write in (lambda: store.put("another", 1), lambda: store.increment("another")):
        with pytest.raises(ConfigurationError, match="no room for 'another'"):
            write()


def test_asynchronous_satellites_use_it_in_their_loop_and_in_threads(store: Store) -> None:
    async def satellite() -> Any:
        await asyncio.gather(*(asyncio.to_thread(store.increment, "n") for _ in range(20)))
        return store.get("n")

    with interruptible() as me, me.exposed():
        assert me.run(satellite()) == 20


def test_calls_in_other_threads_leave_the_satellite_interruptible(store: Store) -> None:
    async def satellite() -> None:
        await asyncio.gather(*(asyncio.to_thread(store.increment, "n") for _ in range(20)))
        threading.Thread(target=me.interrupt, args=(Reason.TIMEOUT,)).start()
        await asyncio.sleep(60)

    with interruptible() as me, pytest.raises(Interrupted), me.exposed():
        me.run(satellite())


def test_interruption_ends_the_wait_for_a_database_that_is_away(broker: Broker, nowhere: Engine) -> None:
    interrupts.install()
    asked = threading.Event()

    def refused(_: Engine) -> None:
        asked.set()
        ping(nowhere)

    def interrupt() -> None:
        asked.wait(10)
        while not me.delivered:
            me.interrupt(Reason.TIMEOUT)

    with interruptible() as me:
        thread = threading.Thread(target=interrupt)
        thread.start()
        with pytest.raises(Interrupted), me.exposed():
            database.ask(refused)
        thread.join()


def test_outage_that_lasts_is_a_transient_error(
    broker: Broker, nowhere: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database, "retry_until_available", partial(retry_until_available, within_s=0.2))
    with pytest.raises(TransientError, match="the State Manager's database does not answer: connection failed"):
        database.ask(lambda _: ping(nowhere))
