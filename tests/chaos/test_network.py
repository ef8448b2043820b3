"""A network that resets, delays, swallows or cuts what passes costs time, and nothing else."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from random import Random
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlsplit
from uuid import uuid4

import pytest
from sqlalchemy import func, select

from state_manager.store import satellite_types
from state_manager.store.engine import connect
from state_manager.store.satellite_types import SatelliteType
from state_manager.store.tables import executions, satellites
from tests.chaos.load import ECHO, SLEEP, assert_nothing_is_lost, chain, fan, overlapping
from tests.chaos.proxy import Faults, Proxy
from tests.services import fresh_database, fresh_redis
from tests.system import System
from tests.waiting import until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from sqlalchemy import ColumnElement

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(240)]

CLUSTERS = (chain(5, 0.02), fan(2), fan(3), overlapping())
SATELLITES = sum(len(cluster) for cluster in CLUSTERS)
IMPATIENT = {"LEASE_SECONDS": "2", "RECONCILE_INTERVAL": "0.2"}


@dataclass(frozen=True)
class Network:
    """A system whose parts reach PostgreSQL and Redis through proxies; the test itself looks past them."""

    system: System
    database: Proxy
    redis: Proxy
    database_uri: str

    def post(self, cluster: list[dict[str, Any]], key: str) -> tuple[int, str | None]:
        """Submit under a key: either it is acknowledged, or a 503 says that nobody knows."""
        document = {"identifier": "test/cluster", "satellites": cluster}
        status, answer = self.system.call("POST", "/executions", document, {"Idempotency-Key": key})
        assert status in {200, 201, 503}, answer
        return status, answer.get("execution_id")

    def submit(self, cluster: list[dict[str, Any]]) -> str:
        """Submit until it is acknowledged."""
        return self.acknowledged(cluster, str(uuid4()))[1]

    def acknowledged(self, cluster: list[dict[str, Any]], key: str) -> tuple[int, str]:
        """Submit under a key, again and again, until it is acknowledged; return how, and the execution's id."""

        def acknowledge() -> tuple[int, str] | None:
            status, execution_id = self.post(cluster, key)
            return (status, execution_id) if execution_id else None

        return until(acknowledge, what="a submission is acknowledged")

    def wait_for(self, which: ColumnElement[bool], count: int = 1) -> None:
        """Wait until there are so many satellites of this kind."""
        query = select(func.count()).where(which)

        def enough() -> bool:
            with self.system.engine.connect() as connection:
                return connection.execute(query).scalar_one() >= count

        until(enough, what=f"{count} satellites of that kind are there")

    def assert_all_complete(self, submitted: list[str]) -> None:
        """Wait for the end of all that there is: what was submitted, once each, completed and sound."""
        assert_nothing_is_lost(self.system)
        with self.system.engine.connect() as connection:
            ended = {
                str(row.id): row.status for row in connection.execute(select(executions.c.id, executions.c.status))
            }
        assert ended == dict.fromkeys(submitted, "completed")


@contextmanager
def network(postgres: str, template: str) -> Iterator[Network]:
    """Yield a system with a database and a Redis of its own, each behind a proxy; beat and the API run."""
    with fresh_database(postgres, template) as database_uri, fresh_redis() as redis_uri:
        redis = urlsplit(redis_uri)
        with Proxy(socket_of(database_uri)) as to_database, Proxy((str(redis.hostname), redis.port or 0)) as to_redis:
            system = System(through(to_database, database_uri), f"redis://127.0.0.1:{to_redis.port}", **IMPATIENT)
            system.engine = connect(database_uri)
            with system:
                system.start_beat()
                system.start_api()
                yield Network(system, to_database, to_redis, database_uri)


def socket_of(database_uri: str) -> str:
    """Give the path of the unix socket that PostgreSQL listens on."""
    return parse_qs(urlsplit(database_uri).query)["host"][0] + "/.s.PGSQL.5432"


def through(proxy: Proxy, database_uri: str) -> str:
    """Give the URI of a database as it is reached through a proxy."""
    return f"postgresql://postgres@127.0.0.1:{proxy.port}{urlsplit(database_uri).path}"


@pytest.fixture
def net(postgres: str, template: str) -> Iterator[Network]:
    with network(postgres, template) as net:
        net.system.start_worker()
        yield net


@contextmanager
def load(net: Network, count: int = 20) -> Iterator[list[str]]:
    """Submit so many small executions side by side with this block; when it is over, all are acknowledged."""
    submitted: list[str] = []
    with ThreadPoolExecutor(4) as clients:
        coming = [clients.submit(net.submit, CLUSTERS[at % len(CLUSTERS)]) for at in range(count)]
        yield submitted
        submitted += [one.result() for one in coming]


def test_connections_to_the_database_that_are_reset_again_and_again_lose_nothing(net: Network) -> None:
    with load(net) as submitted:
        for completed in range(0, 5 * SATELLITES, 5):
            net.wait_for(satellites.c.status == "completed", completed)
            net.database.reset()

    net.assert_all_complete(submitted)
    assert net.database.counts["reset"] > 2 * SATELLITES


def test_slow_network_loses_nothing(net: Network) -> None:
    for proxy in (net.database, net.redis):
        proxy.switch(Faults(there_s=0.02, back_s=0.03))

    with load(net, count=6) as submitted:
        pass

    net.assert_all_complete(submitted)
    assert min(net.database.counts["delayed"], net.redis.counts["delayed"]) > 100


def test_database_that_does_not_answer_until_leases_are_over_loses_nothing(net: Network) -> None:
    long = net.submit(chain(2, 0.5))
    net.wait_for(satellites.c.status == "running")

    with load(net) as submitted:
        net.database.switch(Faults(black_hole=True))
        net.wait_for(satellites.c.lease_expires_at < func.clock_timestamp())
        net.database.heal()
        net.database.reset()

    net.assert_all_complete([long, *submitted])
    assert net.database.counts["swallowed"] > 5


def test_submissions_are_accepted_while_redis_does_not_answer(postgres: str, template: str) -> None:
    with network(postgres, template) as net:
        satellite_types.register_types(net.system.engine, [SatelliteType(uses, "satellites") for uses in (ECHO, SLEEP)])
        net.redis.switch(Faults(black_hole=True))
        submitted = [net.submit(fan(2)) for _ in range(10)]
        net.redis.heal()
        net.redis.reset()
        net.system.start_worker()

        net.assert_all_complete(submitted)
        assert net.redis.counts["swallowed"] > 5


def test_submission_whose_answer_is_lost_exists_once_or_not_at_all(net: Network) -> None:
    random = Random(5)  # noqa: S311
    submitted: list[str] = []
    unknown: set[int] = set()
    cuts = [(1, 1000), (50, 1000), (200, 1000), (1000, 1000), *((random.randint(1, 600), 4) for _ in range(8))]
    for at, (after, times) in enumerate(cuts):
        documents = {str(uuid4()): cluster for cluster in CLUSTERS}
        net.database.switch(Faults(cut_after=after, cuts=times))
        if at % 2:
            net.database.reset()  # so that what is cut is the greeting of a new connection
        with ThreadPoolExecutor(len(documents)) as clients:
            answers = list(clients.map(net.post, documents.values(), documents))
        net.database.heal()

        for (status, told), (key, cluster) in zip(answers, documents.items(), strict=True):
            again, execution_id = net.acknowledged(cluster, key)
            if status == 503:
                unknown.add(again)
            else:
                assert (again, execution_id) == (200, told)
            submitted.append(execution_id)

    net.assert_all_complete(submitted)
    assert unknown == {200, 201}, "of what a 503 left open, some was there, and some was not"
    assert net.database.counts["cut"] > 20


@pytest.mark.parametrize("fault", [Faults(refuse=True), Faults(black_hole=True)], ids=["refused", "swallowed"])
def test_work_of_a_worker_that_is_cut_off_is_taken_over_and_its_late_outcome_refused(
    postgres: str, template: str, tmp_path: Path, fault: Faults
) -> None:
    notes = tmp_path / "notes"
    note = {"name": "long", "uses": "satellite/test/note", "config": {"file": str(notes), "seconds": 1.5}}
    after = {"name": "after", "uses": ECHO, "dependencies": ["long"]}
    with Proxy(socket_of(postgres)) as proxy, network(postgres, template) as net:
        lonely = net.system.start_worker(DATABASE_URI=through(proxy, net.database_uri))
        execution_id = net.submit([note, after])
        until(notes.exists, what="the worker has begun")

        proxy.switch(fault)
        if fault.refuse:
            proxy.reset()
        net.system.start_worker()
        net.assert_all_complete([execution_id])
        assert proxy.counts["refused" if fault.refuse else "swallowed"] > 0
        proxy.heal()
        proxy.reset()

        until(lambda: "came late: its attempt was taken away" in lonely.output, what="the late outcome is refused")
        net.assert_all_complete([execution_id])
    assert [line.split()[:2] for line in notes.read_text().splitlines()] == [["long", "1"], ["long", "2"]]
