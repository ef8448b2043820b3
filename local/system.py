"""The whole system: embedded servers, migration and our own processes, started in the order of their dependencies."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

from local.errors import FAILED, CannotStart
from local.home import exclusive_home
from local.output import print_message
from local.parts import ROOT, environment, parts
from local.postgres import postgres
from local.processes import HOME_VARIABLE, die_with_uv
from local.readiness import missing_for_submissions, wait_for
from local.secrets_key import with_secrets_key
from local.supervisor import Supervisor
from local.valkey import valkey
from state_manager.setting import redacted

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

    from local.embedded_server import EmbeddedServer
    from local.stop_signal import StopSignal
    from state_manager.config import Settings


@contextmanager
def running_system(settings: Settings, stop_signal: StopSignal, logs: Path | None = None) -> Iterator[Supervisor]:
    """Run the whole system until the block ends; it is entered when a submission would succeed.

    Our own processes write to files in the folder `logs`, or to standard error.
    Raises `CannotStart` and `Interrupted`; whichever way it ends, no process is left.
    """
    die_with_uv()
    with exclusive_home(settings):
        supervisor = Supervisor(settings.home, print_message)
        try:
            redis_is_external = settings.redis_uri is not None
            settings = with_secrets_key(settings)
            settings = start_servers(settings, supervisor, stop_signal)
            prepare(settings, supervisor, stop_signal, check_redis=redis_is_external)
            for part in parts(settings, logs):
                supervisor.start(part)
            began = time.monotonic()
            wait_for(lambda: missing_for_submissions(settings, time.monotonic() - began), supervisor, stop_signal)
            yield supervisor
        finally:
            if stop_signal.received:
                print_message("stopping; another Ctrl-C or SIGTERM does not wait for what is running")
            supervisor.stop(stop_signal)


def start_servers(settings: Settings, supervisor: Supervisor, stop_signal: StopSignal) -> Settings:
    """Start the embedded servers for the URIs that are unset, side by side; return the settings with all URIs."""
    started: list[EmbeddedServer] = []

    def embedded(make: Callable[[Path, Mapping[str, str]], EmbeddedServer]) -> str:
        server = make(settings.home, settings.environ())
        supervisor.start(server.part)
        started.append(server)
        return server.uri

    def missing() -> str | None:
        return next((f"{one.part.name} accepts no clients" for one in started if not one.accepts_clients()), None)

    redis_uri = settings.redis_uri or embedded(valkey)
    database_uri = settings.database_uri or embedded(postgres)
    print_message(f"redis on {redacted(redis_uri)}, database on {redacted(database_uri)}")
    wait_for(missing, supervisor, stop_signal)
    return replace(settings, redis_uri=redis_uri, database_uri=database_uri)


def prepare(settings: Settings, supervisor: Supervisor, stop_signal: StopSignal, *, check_redis: bool) -> None:
    """Migrate the database, and report its unfinished executions, which resume now."""
    process = subprocess.Popen(
        [sys.executable, "-m", "local.prepare", *(["--check-redis"] if check_redis else [])],
        env={**environment(settings), HOME_VARIABLE: str(settings.home)},
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    wait_for(
        lambda: "the migration has not ended" if process.poll() is None else None,
        supervisor,
        stop_signal,
    )
    output, errors = process.communicate()
    if process.returncode:
        raise CannotStart(errors.strip(), FAILED)
    unfinished = json.loads(output)
    if unfinished["count"]:
        print_message(unfinished_executions(unfinished["count"], unfinished["ids"]))


def unfinished_executions(count: int, ids: list[str]) -> str:
    """Return a message that executions of an earlier run resume."""
    listed = ", ".join(ids) + (", …" if count > len(ids) else "")
    noun, verb = ("execution", "goes") if count == 1 else ("executions", "go")
    return f"{count} unfinished {noun} of an earlier run {verb} on now: {listed} (exosphere cancel ID ends one)"
