"""A thousand executions of every kind, while everything that can fail does: none is lost, none has two outcomes."""

from __future__ import annotations

import os
import random
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from http.client import HTTPException
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlsplit

import pytest

from tests.chaos.load import assert_nothing_is_lost, chain, execution_ids, fan, overlapping
from tests.chaos.nemesis import Nemesis, Parts
from tests.chaos.proxy import Proxy
from tests.chaos.servers import KillableSystem, fresh_killable_system
from tests.waiting import sleep, until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(600)]

EXECUTIONS = 1000
FAULTS_S = 75.0
CLIENTS = 16
SEED = int(os.environ.get("NEMESIS_SEED", "0")) or random.SystemRandom().randrange(1, 10**6)

FLAKY = {
    "name": "flaky",
    "uses": "satellite/test/flaky",
    "config": {"failures": 1},
    "retry_policy": {"max_attempts": 50, "base_delay": 0.2},
}
DIES = {"name": "dies", "uses": "satellite/test/die"}
FAILS = {"name": "fails", "uses": "satellite/test/fail", "retries": 0}
CLEANS_UP = {**chain(1)[0], "name": "cleans-up", "dependencies": ["fails"], "run_when": "all_done"}
SKIPPED = {**chain(1)[0], "name": "skipped", "dependencies": ["fails"]}
LATE = {
    "name": "late",
    "uses": "satellite/exospherehost/sleep",
    "config": {"seconds": 30},
    "timeout": 0.2,
    "retry_policy": {"max_attempts": 1},
}

KINDS: dict[str, tuple[Callable[[], list[dict[str, Any]]], set[str]]] = {
    "chain": (lambda: chain(4, 0.01), {"completed"}),
    "fan": (lambda: fan(4), {"completed"}),
    "overlapping": (overlapping, {"completed"}),
    "flaky": (lambda: [FLAKY, *chain(2, 0.01)], {"completed"}),
    "dies": (lambda: [DIES, *chain(2, 0.01)], {"completed"}),
    "fails": (lambda: [FAILS, CLEANS_UP, SKIPPED], {"failed"}),
    "late": (lambda: [LATE, *chain(2, 0.01)], {"failed"}),
    "cancelled": (lambda: chain(3, 0.5), {"cancelled", "completed"}),
    "retried": (lambda: [FAILS, SKIPPED], {"failed"}),
}
WEIGHTS = {"chain": 4, "fan": 4, "overlapping": 3, "flaky": 2}


class Client:
    """Submits until it is told that it succeeded, each cluster under one key, and remembers what came of it."""

    def __init__(self, system: KillableSystem) -> None:
        self._system = system
        self.acknowledged: dict[str, str] = {}
        self.answers: Counter[int | str] = Counter()

    def run(self, number: int, kind: str) -> None:
        """Submit a cluster of this kind, and do with it what is done with its kind."""
        document = {
            "identifier": f"nemesis/{kind}",
            "retry_policy": {"max_attempts": 50, "base_delay": 0.1},
            "satellites": KINDS[kind][0](),
        }
        answer = self._until_accepted("POST", "/executions", {200, 201}, document, {"Idempotency-Key": str(number)})
        execution_id = answer["execution_id"]
        self.acknowledged[execution_id] = kind
        if kind == "cancelled":
            self._until_accepted("DELETE", f"/executions/{execution_id}", {202, 409})
        elif kind == "retried":
            until(lambda: self._status(execution_id) == "failed", within_s=120)
            self._until_accepted("POST", f"/executions/{execution_id}/retry", {202, 409})

    def _until_accepted(
        self, method: str, path: str, accepted: set[int], body: object = None, headers: dict[str, str] | None = None
    ) -> Any:
        def accept() -> Any:
            status, answer = self._call(method, path, body, headers)
            assert status in {*accepted, 503, None}, (status, answer)
            return status in accepted and answer

        return until(accept, within_s=120, what=f"{method} {path} is accepted")

    def _status(self, execution_id: str) -> str | None:
        status, answer = self._call("GET", f"/executions/{execution_id}")
        return answer["status"] if status == 200 else None

    def _call(self, method: str, path: str, body: object = None, headers: dict[str, str] | None = None) -> Any:
        try:
            status, answer = self._system.call(method, path, body, headers)
        except (OSError, ValueError, HTTPException) as error:  # nobody listens, or who answered died
            self.answers[type(error).__name__] += 1
            sleep(0.1)
            return None, None
        self.answers[status] += 1
        return status, answer


@contextmanager
def _proxies(system: KillableSystem) -> Iterator[tuple[Proxy, Proxy]]:
    """Put proxies between the parts that are started from now on and their servers."""
    (sockets,) = parse_qs(urlsplit(system.database_uri).query)["host"]
    with (
        Proxy(f"{sockets}/.s.PGSQL.5432") as database,
        Proxy(("127.0.0.1", urlsplit(system.redis_uri).port or 0)) as broker,
    ):
        system.environment["DATABASE_URI"] = f"postgresql://postgres@127.0.0.1:{database.port}/postgres"
        system.environment["REDIS_URI"] = f"redis://127.0.0.1:{broker.port}/0"
        yield database, broker


def _run_under(nemesis: Nemesis, client: Client, kinds: list[str]) -> None:
    """Submit these clusters, evenly over the time in which faults are injected."""
    started = time.monotonic()

    def run(number: int) -> None:
        sleep(max(started + FAULTS_S * number / len(kinds) - time.monotonic(), 0))
        client.run(number, kinds[number])

    with ThreadPoolExecutor(CLIENTS) as clients:
        running = [clients.submit(run, number) for number in range(len(kinds))]
        nemesis.run(FAULTS_S)
        for one in running:
            one.result()


def test_thousand_executions_survive_the_nemesis() -> None:
    print(f"seed {SEED}: NEMESIS_SEED={SEED} repeats it")
    rng = random.Random(SEED)  # noqa: S311
    kinds = rng.choices(list(KINDS), [WEIGHTS.get(kind, 1) for kind in KINDS], k=EXECUTIONS)
    with fresh_killable_system(LEASE_SECONDS="3") as system, _proxies(system) as (database, broker):
        parts = Parts(
            {
                "worker-1": system.launch_worker,
                "worker-2": system.launch_worker,
                "beat-1": system.start_beat,
                "beat-2": system.start_beat,
                "api": system.launch_api,
            }
        )
        until(lambda: system.answers("/state/health"), what="the system is ready")
        nemesis = Nemesis(system, parts, database, broker, SEED)
        client = Client(system)
        _run_under(nemesis, client, kinds)
        assert_nothing_is_lost(system, client.acknowledged, within_s=120)

        print("faults fired:", *(f"{count:3d} × {name}" for name, count in sorted(nemesis.fired.items())), sep="\n  ")
        print("what clients were answered:", dict(client.answers))
        assert {str(one) for one in execution_ids(system)} == set(client.acknowledged)
        ended = {one: system.execution(one)["status"] for one in client.acknowledged}

    print("executions:", dict(Counter(f"{client.acknowledged[one]} {status}" for one, status in ended.items())))
    assert nemesis.kinds.issubset(nemesis.fired)
    assert len(ended) == EXECUTIONS
    assert [one for one, status in ended.items() if status not in KINDS[client.acknowledged[one]][1]] == []
