"""What one process of the system holds: its settings, its connections, its name."""

from __future__ import annotations

import os
import socket
from functools import cache
from typing import TYPE_CHECKING

from state_manager.config import settings
from state_manager.store.engine import connect

if TYPE_CHECKING:
    from sqlalchemy import Engine


@cache
def engine() -> Engine:
    """Return this process's pool of connections to PostgreSQL."""
    uri = settings().database_uri
    if uri is None:
        raise SystemExit("DATABASE_URI is not set: a worker has nowhere to record what it does")
    return connect(uri)


def start_afresh_after_fork() -> None:
    """Let go of the parent's connections, without closing them: they are the parent's still."""
    if engine.cache_info().currsize:
        engine().dispose(close=False)
        engine.cache_clear()


def name() -> str:
    """Name this process as the events do: who ran an attempt."""
    return f"{socket.gethostname()}/{os.getpid()}"
