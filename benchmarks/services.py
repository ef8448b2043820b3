"""PostgreSQL and Valkey for the peers: the same programs and settings as this project's own."""

from __future__ import annotations

import os
import shutil
import tempfile
import time
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.environments import CannotInstall
from local import postgres, valkey
from local.supervisor import Supervisor

if TYPE_CHECKING:
    from collections.abc import Iterator

    from local.embedded_server import EmbeddedServer

START_WITHIN_S = 60
SYNCHRONOUS_LOG = ("--appendonly", "yes", "--appendfsync", "always")


@contextmanager
def service(kind: str) -> Iterator[tuple[str, list[int]]]:
    """Start one, and yield its URI and its processes."""
    with tempfile.TemporaryDirectory(prefix="bench-", ignore_cleanup_errors=True) as folder:
        home = Path(folder)
        server = prepared(kind, home)
        supervisor = Supervisor(home, lambda _: None)
        try:
            supervisor.start(server.part)
            deadline = time.monotonic() + START_WITHIN_S
            while not server.accepts_clients():
                if time.monotonic() > deadline:
                    raise RuntimeError(f"{kind} does not answer")
                time.sleep(0.02)
            yield server.uri, [one.process.pid for one in supervisor.running]
        finally:
            supervisor.stop()


def prepared(kind: str, home: Path) -> EmbeddedServer:
    """Prepare one on this home; raises `CannotInstall`."""
    match kind:
        case "postgres":
            return postgres.postgres(home, os.environ)
        case "postgres-contrib":
            return postgres_of_the_machine(home)
        case "valkey":
            return valkey.valkey(home, os.environ)
        case "valkey-durable":
            server = valkey.valkey(home, os.environ)
            return replace(server, part=replace(server.part, command=[*server.part.command, *SYNCHRONOUS_LOG]))
    raise ValueError(kind)


def postgres_of_the_machine(home: Path) -> EmbeddedServer:
    """Prepare the machine's own PostgreSQL, for who needs an extension that our package lacks."""
    found = shutil.which("postgres")
    if not found:
        raise CannotInstall("it needs PostgreSQL with pg_trgm, and there is no `postgres` on the PATH")
    binary = Path(found).resolve()
    user = postgres.system_user() if os.geteuid() == 0 else None
    if user:
        postgres.allow_traversal(home / "postgres")
    postgres.initialise(home / "postgres", binary.with_name("initdb"), user, os.environ)
    server = postgres.postgres(home, os.environ)
    return replace(server, part=replace(server.part, command=[str(binary), *server.part.command[1:]]))
