"""PostgreSQL and Redis are killed, stopped and started again under a load: that costs time, and nothing else."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from sqlalchemy import text

from tests.chaos.load import ECHO, assert_nothing_is_lost, chain, fan, flush, overlapping, terminate_sessions
from tests.chaos.servers import Site, fresh_site
from tests.waiting import sleep, until

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(240)]


@pytest.fixture(scope="module")
def site() -> Iterator[Site]:
    with fresh_site() as site:
        site.start_everything()
        yield site


@pytest.fixture
def load(site: Site) -> list[str]:
    """Submit what runs for a second or two, and return its executions' ids when it is under way."""
    ids = [site.submit(*cluster) for cluster in (chain(25), fan(10), overlapping(), chain(10, 0.2))]
    until(lambda: site.execution(ids[0])["progress"]["completed_satellites"] >= 2)
    return ids


def attempts(site: Site, ids: list[str]) -> list[int]:
    with site.engine.connect() as connection:
        query = text("SELECT attempt FROM satellites WHERE execution_id = ANY (CAST(:ids AS uuid[]))")
        return list(connection.execute(query, {"ids": ids}).scalars())


def assert_undisturbed(site: Site, ids: list[str]) -> None:
    """All is done, and every satellite took one attempt."""
    assert_nothing_is_lost(site, ids)
    assert {site.execution(one)["status"] for one in ids} == {"completed"}
    assert set(attempts(site, ids)) == {1}


def test_crash_of_postgresql_charges_nobody_an_attempt(site: Site, load: list[str]) -> None:
    with site.postgres.away():
        pass

    assert_undisturbed(site, load)


def test_restart_of_postgresql_in_good_order_charges_nobody_an_attempt(site: Site, load: list[str]) -> None:
    site.postgres.stop()
    site.postgres.start()

    assert_undisturbed(site, load)


def test_pause_of_postgresql_charges_nobody_an_attempt(site: Site, load: list[str]) -> None:
    with site.postgres.paused():
        sleep(2)

    assert_undisturbed(site, load)


def test_sessions_that_are_terminated_again_and_again_charge_nobody_an_attempt(site: Site, load: list[str]) -> None:
    terminated = 0
    for _ in range(5):
        terminated += terminate_sessions(site)
        sleep(0.2)

    assert terminated > 10
    assert_undisturbed(site, load)


def test_without_postgresql_a_submission_is_refused_clearly_and_the_first_one_after_it_succeeds(site: Site) -> None:
    document = {"identifier": "test/away", "satellites": [{"name": "one", "uses": ECHO}]}
    with site.postgres.away():
        status, answer = site.call("POST", "/executions", document)
        assert (status, answer["code"]) == (503, 503)
        assert "database does not answer" in answer["message"]
        assert site.call("GET", "/state/health/ready")[0] == 503
        assert site.call("GET", "/state/health/live")[0] == 200

    status, answer = site.call("POST", "/executions", document)

    assert status == 201, answer
    assert_nothing_is_lost(site, [answer["execution_id"]])


@pytest.mark.parametrize("how", ["killed", "stopped in good order", "flushed"])
def test_loss_of_redis_costs_time_and_the_worker_consumes_again(site: Site, load: list[str], how: str) -> None:
    match how:
        case "killed":
            with site.valkey.away():
                load.append(site.submit(*chain(3)))
        case "stopped in good order":
            site.valkey.stop()
            load.append(site.submit(*chain(3)))
            site.valkey.start()
        case "flushed":
            flush(site)
            load.append(site.submit(*chain(3)))

    assert_undisturbed(site, load)


def test_submission_is_accepted_while_redis_says_nothing(site: Site, load: list[str]) -> None:
    with site.valkey.paused():
        load.append(site.submit(*chain(3)))

    assert_undisturbed(site, load)
