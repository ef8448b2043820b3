"""PostgreSQL and Redis are killed, stopped and started again under a load: that costs time, and nothing else."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from sqlalchemy import text

from tests.chaos.load import ECHO, assert_nothing_is_lost, chain, fan, flush, overlapping, terminate_sessions
from tests.chaos.servers import KillableSystem, fresh_killable_system
from tests.waiting import sleep, until

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(240)]


@pytest.fixture(scope="module")
def system() -> Iterator[KillableSystem]:
    with fresh_killable_system() as system:
        system.start_everything()
        yield system


@pytest.fixture
def load(system: KillableSystem) -> list[str]:
    """Submit what runs for a second or two, and return its executions' ids when it is under way."""
    ids = [system.submit(*cluster) for cluster in (chain(25), fan(10), overlapping(), chain(10, 0.2))]
    until(lambda: system.execution(ids[0])["progress"]["completed_satellites"] >= 2)
    return ids


def attempts(system: KillableSystem, ids: list[str]) -> list[int]:
    with system.engine.connect() as connection:
        query = text("SELECT attempt FROM satellites WHERE execution_id = ANY (CAST(:ids AS uuid[]))")
        return list(connection.execute(query, {"ids": ids}).scalars())


def assert_undisturbed(system: KillableSystem, ids: list[str]) -> None:
    """All is done, and every satellite took one attempt."""
    assert_nothing_is_lost(system, ids)
    assert {system.execution(one)["status"] for one in ids} == {"completed"}
    assert set(attempts(system, ids)) == {1}


def test_crash_of_postgresql_charges_nobody_an_attempt(system: KillableSystem, load: list[str]) -> None:
    with system.postgres.killed():
        pass

    assert_undisturbed(system, load)


def test_restart_of_postgresql_in_good_order_charges_nobody_an_attempt(system: KillableSystem, load: list[str]) -> None:
    system.postgres.stop()
    system.postgres.start()

    assert_undisturbed(system, load)


def test_pause_of_postgresql_charges_nobody_an_attempt(system: KillableSystem, load: list[str]) -> None:
    with system.postgres.paused():
        sleep(2)

    assert_undisturbed(system, load)


def test_sessions_that_are_terminated_again_and_again_charge_nobody_an_attempt(
    system: KillableSystem, load: list[str]
) -> None:
    terminated = 0
    for _ in range(5):
        terminated += terminate_sessions(system)
        sleep(0.2)

    assert terminated > 10
    assert_undisturbed(system, load)


def test_without_postgresql_a_submission_is_refused_clearly_and_the_first_one_after_it_succeeds(
    system: KillableSystem,
) -> None:
    document = {"identifier": "test/away", "satellites": [{"name": "one", "uses": ECHO}]}
    with system.postgres.killed():
        status, answer = system.call("POST", "/executions", document)
        assert (status, answer["code"]) == (503, 503)
        assert "database does not answer" in answer["message"]
        assert system.call("GET", "/state/health/ready")[0] == 503
        assert system.call("GET", "/state/health/live")[0] == 200

    status, answer = system.call("POST", "/executions", document)

    assert status == 201, answer
    assert_nothing_is_lost(system, [answer["execution_id"]])


@pytest.mark.parametrize("how", ["killed", "stopped in good order", "flushed"])
def test_loss_of_redis_costs_time_and_the_worker_consumes_again(
    system: KillableSystem, load: list[str], how: str
) -> None:
    match how:
        case "killed":
            with system.valkey.killed():
                load.append(system.submit(*chain(3)))
        case "stopped in good order":
            system.valkey.stop()
            load.append(system.submit(*chain(3)))
            system.valkey.start()
        case "flushed":
            flush(system)
            load.append(system.submit(*chain(3)))

    assert_undisturbed(system, load)


def test_submission_is_accepted_while_redis_says_nothing(system: KillableSystem, load: list[str]) -> None:
    with system.valkey.paused():
        load.append(system.submit(*chain(3)))

    assert_undisturbed(system, load)
