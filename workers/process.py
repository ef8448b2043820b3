"""What one process of the system holds: its connections, its name, and the keeper of its leases."""

from __future__ import annotations

import os
import socket
from contextlib import suppress
from functools import cached_property
from typing import TYPE_CHECKING

from uuid_utils.compat import uuid7

from state_manager.config import settings
from state_manager.notices import Notices
from state_manager.redis import connect_redis
from state_manager.store.engine import connect
from state_manager.store.patience import DATABASE_AWAY
from state_manager.store.transitions import rehearse
from workers.lease import Identity, Keeper
from workers.pace import Pace
from workers.relief import Relief

if TYPE_CHECKING:
    from collections.abc import Collection
    from uuid import UUID

    from sqlalchemy import Engine


class Process:
    """One life of one process: no other, before or after, here or elsewhere, has its id."""

    def __init__(self, queues: Collection[str] = (), parent: UUID | None = None) -> None:
        self.id = uuid7()
        self.queues = queues
        self.pace = Pace(settings().time_slice_ms)
        self.relief = Relief()
        self.notices = Notices(connect_redis(settings()))
        self.pid = os.getpid()
        self.name = f"{socket.gethostname()}/{self.pid}"
        self.keeper = Keeper(Identity(self.id, parent, self.name, queues))

    @cached_property
    def engine(self) -> Engine:
        """This process's pool of connections to PostgreSQL."""
        uri = settings().database_uri
        if uri is None:
            raise SystemExit("DATABASE_URI is not set: there is nowhere to record what is done")
        return connect(uri, pool_size=settings().database_pool_size)


_here: list[Process] = []


def here() -> Process:
    """Return this process."""
    if not _here:
        _here.append(Process())
    return _here[0]


def engine() -> Engine:
    """Return this process's pool of connections to PostgreSQL."""
    return here().engine


def become_worker(queues: Collection[str]) -> None:
    """Be a worker that listens to these queues. Its keeper starts with `here().keeper.start()`."""
    _here[:] = [Process(queues)]


def become_child() -> None:
    """Start afresh in a child of the prefork pool: what was the parent's stays the parent's.

    The solo pool, which has no children, calls this too, and means itself.
    """
    parent = here()
    if parent.pid == os.getpid():
        return
    if "engine" in vars(parent):
        parent.engine.dispose(close=False)
    _here[:] = [Process(parent.queues, parent.id)]
    if here().keeper.start():
        with suppress(*DATABASE_AWAY):
            rehearse(engine())
