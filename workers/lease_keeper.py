"""The lease thread of a process that runs satellites: shows that the process lives, and renews what it holds."""

from __future__ import annotations

import logging
import os
import select
import time
from dataclasses import dataclass
from datetime import timedelta
from threading import Event, Thread
from typing import TYPE_CHECKING

import psycopg
import tenacity

from state_manager.config import settings
from state_manager.store.engine import KEEPALIVE, is_pooled

if TYPE_CHECKING:
    from collections.abc import Collection
    from uuid import UUID

    from workers.attempt.held_attempts import HeldAttempts
    from workers.attempt.watchdog import Watchdog

REGISTER_WITHIN_S = 2.0
"""Longest time that a process waits for the database at its start; then it goes on, and registers when it can."""

RENEW_AT_LEAST_EVERY_S = 5.0
"""Longest interval between two signs of life of a process, whatever its lease."""

RENEW_WITHOUT_NOTICES_EVERY_S = 1.0
"""The same behind a pooler: there the renewal alone tells that an execution was cancelled."""

_log = logging.getLogger(__name__)
_REGISTER = "SELECT register_worker(%s, %s, %s, %s, %s, %s)"
_RENEW = "SELECT taken_away, known FROM renew(%s, %s, %s, %s)"
_UNREGISTER = "DELETE FROM workers WHERE id = %s"


@dataclass(frozen=True, slots=True)
class Identity:
    """A process as the others see it; `parent` is the worker that forked it, if one did."""

    id: UUID
    parent: UUID | None
    name: str
    queues: Collection[str]


class LeaseKeeper:
    """Keeps a session with PostgreSQL by which others see that this process lives, and renews its leases.

    It renews by satellite and token: a claim whose answer was lost, which nobody holds, runs out. It listens for
    executions that are stopped, and learns with each renewal what was taken away, which it tells the watchdog.
    Behind a pooler, where a session is nobody's, others see the renewals alone (`DATABASE_DIRECT_URI` avoids that).
    """

    def __init__(self, identity: Identity, held: HeldAttempts, watchdog: Watchdog) -> None:
        self._identity = identity
        self._held = held
        self._watchdog = watchdog
        self._lease = timedelta(seconds=settings().lease_s)
        self._renew_every_s = min(settings().lease_s / 3, RENEW_AT_LEAST_EVERY_S)
        self._stopping = Event()
        self._registered = Event()
        self._stop_reader, self._stop_writer = os.pipe()
        self._thread = Thread(target=self._run, name="lease", daemon=True)

    def start(self) -> bool:
        """Register this process and renew its leases from now on; tell whether the database has answered yet."""
        self._thread.start()
        return self._registered.wait(REGISTER_WITHIN_S)

    def stop(self) -> None:
        """Stop renewing, and remove this process from the workers. Does nothing before `start`."""
        self._stopping.set()
        os.write(self._stop_writer, b"x")
        if self._thread.ident is not None:
            self._thread.join()

    def _run(self) -> None:
        connection = self._connect()
        due = 0.0
        while connection is not None and not self._stopping.is_set():
            try:
                if self._wait(connection, due) or time.monotonic() >= due:
                    self._renew(connection)
                    due = time.monotonic() + self._renew_every_s
            except psycopg.Error as error:
                _log.warning("the lease thread lost the database: %s", error)
                connection, due = self._connect(), 0.0
        if connection is not None:
            self._unregister(connection)

    def _wait(self, connection: psycopg.Connection, due: float) -> bool:
        """Wait for a notice, until a renewal is due, or for the stop; tell whether a notice came."""
        poll = select.poll()  # not select, which cannot take a file number above 1,023
        poll.register(connection.fileno(), select.POLLIN)
        poll.register(self._stop_reader, select.POLLIN)
        ready = {file for file, _ in poll.poll(max((due - time.monotonic()) * 1000, 0))}
        return connection.fileno() in ready and bool(list(connection.notifies(timeout=0)))

    def _renew(self, connection: psycopg.Connection) -> None:
        held = self._held.to_renew()
        taken_away, known = connection.execute(
            _RENEW, (self._identity.id, list(held), [one.claim for one in held.values()], self._lease)
        ).fetchone() or ([], False)
        if not known:
            self._register(connection)
        for one in [*self._held.superseded(), *(held[satellite_id] for satellite_id in taken_away)]:
            self._watchdog.take_away(one)

    def _connect(self) -> psycopg.Connection | None:
        """Connect and register, however long that takes; None when this process stops first."""
        for attempt in tenacity.Retrying(
            retry=tenacity.retry_if_exception_type(psycopg.Error),
            wait=tenacity.wait_random_exponential(0.1, max=1),
            stop=tenacity.stop_when_event_set(self._stopping),
            sleep=self._pause,
            retry_error_callback=lambda _: None,
        ):
            with attempt:
                return self._open_session()
        return None

    def _pause(self, seconds: float) -> None:
        self._stopping.wait(seconds)

    def _open_session(self) -> psycopg.Connection:
        uri = settings().database_direct_uri or settings().database_uri or ""
        connection = psycopg.connect(
            uri.replace("+psycopg", ""),
            autocommit=True,
            connect_timeout=2,
            application_name="exosphere lease",
            **KEEPALIVE,
        )
        if is_pooled(connection):
            connection.prepare_threshold = None
            self._renew_every_s = min(self._renew_every_s, RENEW_WITHOUT_NOTICES_EVERY_S)
        else:
            connection.execute("LISTEN interrupt")
        self._register(connection)
        self._registered.set()
        return connection

    def _unregister(self, connection: psycopg.Connection) -> None:
        try:
            with connection:
                connection.execute(_UNREGISTER, (self._identity.id,))
        except psycopg.Error as error:  # the reconciler will find its session gone
            _log.warning("this process is still on the list of workers: %s", error)

    def _register(self, connection: psycopg.Connection) -> None:
        me = self._identity
        connection.execute(
            _REGISTER, (me.id, me.parent, os.getpid(), me.name, list(me.queues), connection.info.backend_pid)
        )
