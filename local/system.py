"""The parts of one system, started in the order in which they need each other."""

from __future__ import annotations

import errno
import fcntl
import json
import os
import signal
import socket
import subprocess
import sys
import time
from contextlib import contextmanager
from dataclasses import replace
from http import HTTPStatus
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil

from local.embedded import LOOPBACK, Server, postgres, retire, valkey
from local.supervisor import MARK, Interruption, Part, Supervisor, die_with_wrapper, sweep
from state_manager.setting import redacted

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from state_manager.config import Settings

ROOT = Path(__file__).parents[1]
START_TIMEOUT_S = 120.0
POLL_S = 0.02
CALL_TIMEOUT_S = 10.0
DEATHS_TO_GIVE_UP = 3


class CannotStart(Exception):
    """The system cannot start here."""

    def __init__(self, message: str, code: int = 2) -> None:
        self.code = code
        super().__init__(message)


class Interrupted(Exception):
    """A signal asked to stop before the system was up."""


def say(line: str) -> None:
    """Tell the person at the terminal; standard output is for results."""
    print(line, file=sys.stderr, flush=True)  # noqa: T201


@contextmanager
def running(settings: Settings, interruption: Interruption, logs: Path | None = None) -> Iterator[Supervisor]:
    """Run the whole system until the block ends; it is entered when a submission would succeed.

    Our own processes write to files in the folder `logs`, or to standard error.
    Raises `CannotStart` and `Interrupted`; whichever way it ends, no process is left.
    """
    die_with_wrapper("uv")
    with held(settings):
        supervisor = Supervisor(settings.home, say)
        try:
            settings, servers = start_servers(settings, supervisor)
            wait(lambda: all(server.answers() for server in servers), supervisor, interruption)
            migrating = start_migration(settings)
            wait(lambda: migrating.poll() is not None, supervisor, interruption)
            if migrating.returncode:
                raise CannotStart(migrating.communicate()[1].strip(), code=1)
            for part in parts(settings, logs):
                supervisor.start(part)
            began = time.monotonic()
            wait(lambda: is_ready(settings, time.monotonic() - began), supervisor, interruption)
            yield supervisor
        finally:
            supervisor.stop()


@contextmanager
def held(settings: Settings) -> Iterator[None]:
    """Hold the home against a second system, and end what a killed one left there."""
    try:
        settings.home.mkdir(parents=True, exist_ok=True)
        lock = (settings.home / "lock").open("w")
    except OSError as error:
        raise CannotStart(f"EXOSPHERE_HOME {settings.home} cannot be used: {error.strerror}") from None
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            require_free_port(settings)
            raise CannotStart(f"{settings.home} is in use by another system; set EXOSPHERE_HOME to another") from None
        retire(settings.home)
        sweep(settings.home)
        require_free_port(settings)
        yield


def require_free_port(settings: Settings) -> None:
    """Raise `CannotStart` unless the API could listen there."""
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    try:
        socket.create_server((settings.host, settings.port), family=family).close()
    except OSError as error:
        where = f"port {settings.port} on {settings.host}"
        if error.errno == errno.EADDRINUSE:
            raise CannotStart(f"{where} is in use; set PORT to another") from None
        raise CannotStart(f"{where} cannot be listened on: {error.strerror or error}") from None


def start_servers(settings: Settings, supervisor: Supervisor) -> tuple[Settings, list[Server]]:
    """Start the embedded servers for the URIs that are unset, side by side; gives the settings with all URIs."""
    started: list[Server] = []

    def embedded(make: Callable[[Path, Mapping[str, str]], Server]) -> str:
        server = make(settings.home, settings.environ())
        supervisor.start(server.part)
        started.append(server)
        return server.uri

    redis_uri = settings.redis_uri or embedded(valkey)
    database_uri = settings.database_uri or embedded(postgres)
    say(f"redis on {redacted(redis_uri)}, database on {redacted(database_uri)}")
    return replace(settings, redis_uri=redis_uri, database_uri=database_uri), started


def start_migration(settings: Settings) -> subprocess.Popen[str]:
    """Migrate in a process of its own, which keeps none of its libraries; the servers must answer."""
    return subprocess.Popen(
        [sys.executable, "-m", "state_manager.store.migrate"],
        env={**environment(settings), MARK: str(settings.home)},
        cwd=ROOT,
        stderr=subprocess.PIPE,
        text=True,
    )


def environment(settings: Settings) -> dict[str, str]:
    """Give our own processes the settings, and a place in the home for bytecode that is kept nowhere else.

    With PYTHONDONTWRITEBYTECODE, or libraries in a folder that is read-only, each of them would compile
    thousands of modules at every start: two thirds of its time.
    """
    environ = settings.environ()
    if not Path(psutil.__spec__.cached or "").is_file():  # of a library that is imported by now
        folder = settings.home / "bytecode"
        folder.mkdir(mode=0o700, exist_ok=True)
        environ |= {"PYTHONDONTWRITEBYTECODE": "", "PYTHONPYCACHEPREFIX": str(folder)}
    return environ


def parts(settings: Settings, logs: Path | None) -> Iterator[Part]:
    """List our own processes, the API last, so that it is the first to stop."""
    celery = [sys.executable, "-m", "workers"]
    environ = environment(settings)
    environ["PYTHONPATH"] = os.pathsep.join(filter(None, (str(ROOT), environ.get("PYTHONPATH"))))
    yield Part(
        name="worker",
        command=[
            *celery,
            "worker",
            f"--concurrency={settings.worker_concurrency}",
            f"--loglevel={settings.log_level}",
            "--without-mingle",  # a second of waiting for other workers' answers
            "--without-gossip",
        ],
        environ=environ,
        stop=((signal.SIGTERM, 5.0), (signal.SIGQUIT, 2.0)),
        log=logs and logs / "worker.log",
    )
    yield Part(
        name="beat",
        command=[*celery, "beat", f"--loglevel={settings.log_level}", "--pidfile="],
        environ=environ,
        stop=((signal.SIGTERM, 3.0),),
        log=logs and logs / "beat.log",
    )
    yield Part(
        name="api",
        command=[
            *(sys.executable, "-m", "gunicorn", "api.app:create_app()"),
            f"--bind={bracketed(settings.host)}:{settings.port}",
            *(f"--config={ROOT / 'gunicorn.conf.py'}", f"--log-level={settings.log_level}"),
        ],
        environ=environ,
        stop=((signal.SIGTERM, 3.0),),
        log=logs and logs / "api.log",
    )


def wait(condition: Callable[[], bool], supervisor: Supervisor, interruption: Interruption) -> None:
    """Wait for it while the parts are tended; raises `CannotStart` when one of them dies again and again."""
    deadline = time.monotonic() + START_TIMEOUT_S
    while not condition():
        if interruption.wait(POLL_S):
            raise Interrupted
        supervisor.tend()
        worst = supervisor.worst()
        if worst and worst.deaths >= DEATHS_TO_GIVE_UP:
            where = f"; see {worst.part.log}" if worst.part.log else ""
            raise CannotStart(f"{worst.part.name} does not start{where}", code=1)
        if time.monotonic() > deadline:
            raise CannotStart(f"not ready within {START_TIMEOUT_S:g} s", code=1)


def is_ready(settings: Settings, elapsed_s: float) -> bool:
    """Tell whether everything is healthy, and a worker gave a sign of life in this time: others may be dead ones."""
    try:
        status, health = call(settings, "/state/health")
    except (OSError, HTTPException, ValueError):
        return False
    return status == HTTPStatus.OK and any(worker["age_s"] < elapsed_s for worker in health["workers"])


def call(settings: Settings, path: str) -> tuple[int, dict[str, Any]]:
    """Ask our API; gives the status and the JSON of the answer."""
    connection = HTTPConnection(reachable(settings.host), settings.port, timeout=CALL_TIMEOUT_S)
    try:
        connection.request("GET", path)
        response = connection.getresponse()
        answer: dict[str, Any] = json.loads(response.read())
        return response.status, answer
    finally:
        connection.close()


def address(settings: Settings) -> str:
    """Give the URI at which our API can be reached from here."""
    return f"http://{bracketed(reachable(settings.host))}:{settings.port}"


def reachable(host: str) -> str:
    """Give the address at which a listener on this one can be reached from here."""
    return {"": LOOPBACK, "0.0.0.0": LOOPBACK, "::": "::1"}.get(host, host)  # noqa: S104 - no listening here


def bracketed(host: str) -> str:
    """Write an address as it stands before a port."""
    return f"[{host}]" if ":" in host else host
