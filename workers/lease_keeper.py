"""The lease thread of a process that runs satellites: it keeps their leases, and ends those that have to end."""

from __future__ import annotations

import faulthandler
import logging
import os
import select
import signal
import time
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from threading import Event, Lock, Thread
from typing import TYPE_CHECKING

import psycopg
import tenacity

from state_manager.config import settings
from state_manager.store.engine import LIVELINESS
from workers.attempt.interrupts import Interruptible, Reason, interruptible

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator
    from uuid import UUID

    from state_manager.store.transitions import Claimed

STDERR = 2

YIELD_S = 5.0
"""So long a satellite may take to end when it is interrupted; then its process is killed."""

REGISTER_WITHIN_S = 2.0
"""So long a process waits at its start for the database; then it goes on, and registers when it can."""

INTERRUPT_AGAIN_S = 0.1
"""So soon an interruption that did not get through is sent again."""

LONGEST_WAIT_S = 5.0
"""So often an idle process says that it is there."""

_log = logging.getLogger(__name__)
_REGISTER = "SELECT register_worker(%s, %s, %s, %s, %s, %s)"
_RENEW = "SELECT taken_away, known FROM renew(%s, %s, %s, %s)"


@dataclass(slots=True)
class HeldAttempt:
    """An attempt that this process holds in memory."""

    claim: UUID
    run: Interruptible | None = None
    """Its code, once that has begun."""
    taken_away: bool = False
    deadline: float | None = None
    """When it is past its time, on the monotonic clock; None while its own code does not run."""
    kill_at: float | None = None
    """When it was interrupted and has had its time to yield."""

    def moments(self) -> Iterator[float]:
        """Name the moments at which something is to be done about it."""
        if self.deadline is not None:
            yield self.deadline
        if self.kill_at is not None and self.run is not None:
            yield self.kill_at if self.run.delivered else time.monotonic() + INTERRUPT_AGAIN_S


@dataclass(frozen=True, slots=True)
class Identity:
    """A process as the others see it; `parent` is the worker that forked it, if one did."""

    id: UUID
    parent: UUID | None
    name: str
    queues: Collection[str]


class LeaseKeeper:
    """Keeps a session with PostgreSQL by which others see that this process lives, and renews what it holds.

    It renews by name and token: a claim whose answer was lost, which nobody holds, runs out. It listens for
    executions that are stopped, and learns with each renewal what was taken away.
    """

    def __init__(self, identity: Identity) -> None:
        self._identity = identity
        self._lease = timedelta(seconds=settings().lease_s)
        self._renew_every_s = min(settings().lease_s / 3, LONGEST_WAIT_S)
        self._held: dict[UUID, HeldAttempt] = {}
        self._lock = Lock()
        self._waits_until = 0.0
        self._stopping = Event()
        self._registered = Event()
        self._wake_reader, self._wake_writer = os.pipe()
        self._thread = Thread(target=self._run, name="lease", daemon=True)

    def start(self) -> bool:
        """Register this process and keep its leases from now on, or from when the database is there; tell which."""
        self._thread.start()
        return self._registered.wait(REGISTER_WITHIN_S)

    def stop(self) -> None:
        """Stop, and strike this process off the list."""
        self._stopping.set()
        self._wake()
        self._thread.join()

    def hold(self, attempts: Iterable[Claimed]) -> None:
        """Keep the leases of these attempts from now on."""
        with self._lock:
            self._held.update((attempt.id, HeldAttempt(attempt.claim)) for attempt in attempts)

    def drop(self, ids: Iterable[UUID]) -> None:
        """Keep them no longer: they are settled, or given up."""
        with self._lock:
            for one in ids:
                self._held.pop(one, None)

    def is_taken_away(self, attempt: Claimed) -> bool:
        """Tell whether an attempt that has not started is known to be no longer ours."""
        return self._held[attempt.id].taken_away

    @contextmanager
    def watch(self, attempt: Claimed) -> Iterator[Interruptible]:
        """While the satellite's own code runs, interrupt it when it is past its time or taken away.

        A child that does not end then is killed: it is this process's parent that reports its loss.
        """
        held, timeout_s = self._held[attempt.id], attempt.timeout_s
        watchdog = timeout_s is not None and self._identity.parent is not None
        with interruptible() as run:
            held.run = run
            if held.taken_away:
                run.interrupt(Reason.TAKEN_AWAY)
            if timeout_s is not None:
                held.deadline = time.monotonic() + timeout_s
                if held.deadline < self._waits_until:
                    self._wake()
            if watchdog:
                # It needs no interpreter lock, for code that never lets go of it.
                faulthandler.dump_traceback_later((timeout_s or 0) + YIELD_S, exit=True, file=STDERR)
            try:
                with run.exposed():
                    yield run
            finally:
                if watchdog:
                    faulthandler.cancel_dump_traceback_later()
                held.deadline = held.kill_at = None

    def _run(self) -> None:
        connection = self._connect()
        due = 0.0
        while connection is not None and not self._stopping.is_set():
            try:
                woken = self._wait(connection, due)
                if woken or time.monotonic() >= due:
                    self._renew(connection)
                    due = time.monotonic() + self._renew_every_s
            except psycopg.Error as error:
                _log.warning("the lease thread lost the database: %s", error)
                connection, due = self._connect(), 0.0
            self._end_the_late()
        if connection is not None:
            with connection:
                connection.execute("DELETE FROM workers WHERE id = %s", (self._identity.id,))

    def _wait(self, connection: psycopg.Connection, due: float) -> bool:
        """Wait for a notice, for a new attempt, or for the next moment that matters; tell whether to renew now."""
        with self._lock:
            moments = [due, *(moment for held in self._held.values() for moment in held.moments())]
            self._waits_until = min(moments)
        timeout_s = max(self._waits_until - time.monotonic(), 0)
        readable, _, _ = select.select([connection.fileno(), self._wake_reader], [], [], timeout_s)
        if self._wake_reader in readable:
            os.read(self._wake_reader, 1024)
        return connection.fileno() in readable and bool(list(connection.notifies(timeout=0)))

    def _renew(self, connection: psycopg.Connection) -> None:
        with self._lock:
            held = dict(self._held)
        taken_away, known = connection.execute(
            _RENEW, (self._identity.id, list(held), [one.claim for one in held.values()], self._lease)
        ).fetchone() or ([], False)
        if not known:
            self._introduce(connection)
        for satellite_id in taken_away:
            held[satellite_id].taken_away = True
            self._interrupt(held[satellite_id], Reason.TAKEN_AWAY)

    def _end_the_late(self) -> None:
        now = time.monotonic()
        with self._lock:
            held = list(self._held.values())
        for one in held:
            if one.kill_at is not None and now >= one.kill_at and self._identity.parent is not None:
                _log.error("a satellite did not end %s s after it was interrupted: killing its process", YIELD_S)
                os.kill(os.getpid(), signal.SIGKILL)
            if one.kill_at is not None and one.run is not None and one.run.reason is not None:
                one.run.interrupt(one.run.reason)
            if one.deadline is not None and now >= one.deadline:
                one.deadline = None
                self._interrupt(one, Reason.TIMEOUT)

    def _interrupt(self, held: HeldAttempt, reason: Reason) -> None:
        if held.run is not None and held.kill_at is None:
            held.kill_at = time.monotonic() + YIELD_S
            held.run.interrupt(reason)

    def _wake(self) -> None:
        os.write(self._wake_writer, b"x")

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
                return self._register()
        return None

    def _pause(self, seconds: float) -> None:
        """Wait for the next try; what has to end meanwhile needs no database."""
        until = time.monotonic() + seconds
        while (left_s := until - time.monotonic()) > 0 and not self._stopping.wait(min(left_s, INTERRUPT_AGAIN_S)):
            self._end_the_late()

    def _register(self) -> psycopg.Connection:
        uri = (settings().database_uri or "").replace("+psycopg", "")
        connection = psycopg.connect(
            uri, autocommit=True, connect_timeout=2, application_name="exosphere lease", **LIVELINESS
        )
        connection.execute("LISTEN interrupt")
        self._introduce(connection)
        self._registered.set()
        return connection

    def _introduce(self, connection: psycopg.Connection) -> None:
        me = self._identity
        connection.execute(
            _REGISTER, (me.id, me.parent, os.getpid(), me.name, list(me.queues), connection.info.backend_pid)
        )
