"""A PgBouncer in transaction mode before a test's PostgreSQL."""

from __future__ import annotations

import os
import shutil
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import psycopg
import pytest

from tests.processes import Process, free_port
from tests.waiting import until

if TYPE_CHECKING:
    from collections.abc import Iterator

PROGRAM = shutil.which("pgbouncer") or shutil.which("pgbouncer", path="/usr/sbin:/usr/local/sbin")
SERVER_CONNECTIONS = 4
"""Fewer than there are clients, so that each client meets several backends."""

needs_pgbouncer = pytest.mark.skipif(PROGRAM is None, reason="pgbouncer is not installed (apt-get install pgbouncer)")


@contextmanager
def pooled(database_uri: str) -> Iterator[str]:
    """Yield the URI of this database behind a pooler."""
    folder = Path(database_uri.partition("host=")[2])
    port, name = free_port(), database_uri.split("/")[3].partition("?")[0]
    with tempfile.TemporaryDirectory(prefix="exo-bouncer-") as home:
        Path(home).chmod(0o755)
        settings = Path(home) / "pgbouncer.ini"
        settings.write_text(
            f"[databases]\n* = host={folder} user=postgres\n"
            f"[pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {port}\nunix_socket_dir =\nauth_type = any\n"
            f"pool_mode = transaction\ndefault_pool_size = {SERVER_CONNECTIONS}\nmax_client_conn = 500\n"
        )
        # It refuses to run as root, and the socket of the test's PostgreSQL is its owner's alone.
        user = ["-u", folder.owner()] if os.geteuid() == 0 else []
        with Process([PROGRAM or "pgbouncer", *user, str(settings)], {}) as bouncer:
            uri = f"postgresql://postgres@127.0.0.1:{port}/{name}"
            until(lambda: _answers(uri) or bouncer.returncode is not None, what="PgBouncer answers")
            assert bouncer.returncode is None, bouncer.output
            yield uri


def _answers(uri: str) -> bool:
    try:
        psycopg.connect(uri).close()
    except psycopg.OperationalError:
        return False
    return True
