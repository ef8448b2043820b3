"""The home directory of a system: locked against a second system; processes that a killed one left are stopped."""

from __future__ import annotations

import errno
import fcntl
import signal
import socket
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

import psutil

from local import postgres, valkey
from local.errors import CannotStart
from local.processes import kill_processes_of_home, wait_for_end

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from state_manager.config import Settings

SERVER_STOP_S, SERVER_KILL_S = 20, 5


@contextmanager
def exclusive_home(settings: Settings) -> Iterator[None]:
    """Lock the home, stop the processes of an earlier system, and require that the API's port is free.

    Raises `CannotStart`.
    """
    home = settings.home
    try:
        home.mkdir(parents=True, exist_ok=True)
        lock = (home / "lock").open("w")
    except OSError as error:
        raise CannotStart(f"EXOSPHERE_HOME {home} cannot be used: {error.strerror}") from None
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            require_free_port(settings)  # whose message fits better where both are taken
            raise CannotStart(f"{home} is in use by another system; set EXOSPHERE_HOME to another") from None
        stop_leftover_servers(home)
        kill_processes_of_home(home)
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


def stop_leftover_servers(home: Path) -> None:
    """Stop the servers that a killed system left on this home, in good order where they still can."""
    left = list(servers_of_home(home))
    for process in left:
        with suppress(psutil.NoSuchProcess):
            process.send_signal(signal.SIGINT)
    stubborn = wait_for_end(left, SERVER_STOP_S)
    for process in stubborn:
        with suppress(psutil.NoSuchProcess):
            process.kill()
    wait_for_end(stubborn, SERVER_KILL_S)
    postgres.remove_stale_locks(home)


def servers_of_home(home: Path) -> Iterator[psutil.Process]:
    """List the processes that use the embedded servers' data, by command line or by working directory."""
    folders = {str(postgres.data_directory(home)), str(valkey.data_directory(home))}
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            if process.name() not in {"postgres", "valkey-server"}:
                continue
            if folders.intersection(process.cmdline()) or process.cwd() in folders:
                yield process
