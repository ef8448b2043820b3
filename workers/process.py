"""The composition root of Celery's processes: creates the services of a worker, a child or beat."""

from __future__ import annotations

import logging
import os
import signal
import socket
from functools import cached_property
from typing import TYPE_CHECKING

from uuid_utils.compat import uuid7

from state_manager.config import settings
from state_manager.lifecycle import Lifecycle
from state_manager.maintenance.reconciler import Reconciler
from state_manager.maintenance.services import services
from state_manager.notifications import Notifier
from state_manager.redis import connect_redis
from state_manager.secrets.configured import configured_keys
from state_manager.store.engine import connect
from state_manager.store.outages import DATABASE_ERRORS, describe, is_outage
from state_manager.store.transitions import warm_up
from workers import outcomes
from workers.attempt.held_attempts import HeldAttempts
from workers.attempt.interrupts import Reason
from workers.attempt.watchdog import Watchdog
from workers.dispatch.dispatcher import Dispatcher
from workers.dispatch.durations import UsualDurations
from workers.lease_keeper import Identity, LeaseKeeper
from workers.slice_watchdog import SliceWatchdog

if TYPE_CHECKING:
    from collections.abc import Collection
    from uuid import UUID

    from sqlalchemy import Engine

    from state_manager.secrets.keys import MasterKeys
    from workers.attempt.held_attempts import HeldAttempt

_log = logging.getLogger(__name__)


class Process:
    """The services of this operating system process, under an id that is never used again."""

    def __init__(self, queues: Collection[str] = (), parent: UUID | None = None) -> None:
        self.id = uuid7()
        self.queues = queues
        self.durations = UsualDurations(settings().time_slice_ms)
        self.slice_watchdog = SliceWatchdog()
        self.notifier = Notifier(connect_redis(settings()))
        self.pid = os.getpid()
        self.name = f"{socket.gethostname()}/{self.pid}"
        self.is_child = parent is not None
        """Whether this process is a child of the prefork pool, which its parent replaces when it ends."""
        self.held_attempts = HeldAttempts()
        self.watchdog = Watchdog(self.held_attempts, self._give_up, ends_process=self.is_child)
        self.lease_keeper = LeaseKeeper(Identity(self.id, parent, self.name, queues), self.held_attempts, self.watchdog)

    @cached_property
    def engine(self) -> Engine:
        """The pool of connections to PostgreSQL."""
        uri = settings().database_uri
        if uri is None:
            raise SystemExit("DATABASE_URI is not set: there is nowhere to record what is done")
        return connect(uri, pool_size=settings().database_pool_size)

    @cached_property
    def keys(self) -> MasterKeys | None:
        """The master keys of the secrets, loaded where a satellite asks for one."""
        return configured_keys(settings())

    @cached_property
    def dispatcher(self) -> Dispatcher:
        """The sender of messages for ready satellites."""
        return Dispatcher(self.engine, self.durations)

    @cached_property
    def lifecycle(self) -> Lifecycle:
        """The lifecycle, which stops and retries executions and expires attempts."""
        return Lifecycle(self.engine, self.dispatcher, self.notifier, settings().max_concurrent_executions)

    @cached_property
    def reconciler(self) -> Reconciler:
        """The reconciler, which repairs what was lost."""
        lease_s, interval_s = settings().lease_s, settings().reconcile_interval_s
        return Reconciler(services(self.lifecycle, self.dispatcher, lease_s=lease_s, interval_s=interval_s))

    def _give_up(self, attempt: HeldAttempt) -> None:
        """Deal with a satellite that did not end when it was interrupted: kill a child, whose parent reports the loss.

        In an orderly stop the attempt is handed back first, so that the stop charges nobody.
        """
        try:
            if attempt.run is not None and attempt.run.reason is Reason.STOPPING:
                self.dispatcher.send_ready(outcomes.release(self.engine, [attempt]), apart=True)
        except DATABASE_ERRORS as error:
            _log.error("attempt of %s is not released: %s", attempt.id, describe(error))
        finally:
            if self.is_child:
                _log.error("satellite %s did not end when it was interrupted: its process is killed", attempt.id)
                os.kill(os.getpid(), signal.SIGKILL)


_current: list[Process] = []


def current_process() -> Process:
    """Return this process's `Process`; a new one, with no queues, where nobody has made one."""
    if not _current:
        _current.append(Process())
    return _current[0]


def engine() -> Engine:
    """Return this process's pool of connections to PostgreSQL."""
    return current_process().engine


def become_worker(queues: Collection[str]) -> None:
    """Become a worker that listens to these queues. Its lease keeper is started later, once it is ready."""
    _current[:] = [Process(queues)]


def become_child() -> None:
    """Become a child of the prefork pool: what the parent holds stays the parent's.

    The solo pool, which has no children, calls this too, in the worker itself: then nothing changes.
    """
    parent = current_process()
    if parent.pid == os.getpid():
        return
    if "engine" in vars(parent):
        parent.engine.dispose(close=False)
    _current[:] = [Process(parent.queues, parent.id)]
    if current_process().lease_keeper.start():
        try:
            warm_up(engine())
        except Exception as error:
            if not is_outage(error):
                raise
