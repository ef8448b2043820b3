"""A deterministic scheduler: the seed decides which call starts when, and which transaction commits when.

Each session has a transaction of its own. A call runs in it, and its locks and changes stay uncommitted until a later
tick commits them; meanwhile other sessions' calls start, read the old rows, pass over locked ones, or wait. Whether a
call waits is asked of PostgreSQL itself. While one waits no other call is started, so a commit wakes one at most, and
nothing ever runs at the same time as anything else: a seed replays exactly.

What it does not control: a call of a SQL function is one step. Between the statements inside it nothing is interleaved,
except where it waits for a lock: there, whatever the seed commits meanwhile comes in between. Nor does it control the
clock, the random parts of ids (their order is that of creation), autovacuum, or two calls that truly run at once: that
is what the walk by threads is for.
"""

from __future__ import annotations

from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self, cast

from sqlalchemy import text

from tests.store.model.steps import Call, choose
from tests.store.rivals import OneTransaction

if TYPE_CHECKING:
    from collections.abc import Mapping
    from random import Random
    from types import TracebackType

    from sqlalchemy import Connection, Engine

    from tests.store.model.steps import Step
    from tests.store.model.world import World

SESSIONS = 3
LOOK_AGAIN_S = 0.005
"""Pause between two looks whether a call waits for a lock, unless it returns before."""

_IS_BLOCKED = text("SELECT cardinality(pg_blocking_pids(:pid)) > 0")


@dataclass(slots=True)
class Session:
    """A connection, and the call whose transaction is open on it."""

    name: str
    connection: Connection
    pid: int
    call: Call | None = None
    answer: Future[Any] | None = None

    @property
    def waits(self) -> bool:
        """True until its call has returned."""
        return self.answer is not None and not self.answer.done()


class Scheduler:
    """Sessions, and what they did, in order."""

    def __init__(self, engine: Engine, random: Random, weights: Mapping[Step, int]) -> None:
        self.trace: list[str] = []
        self._engine = engine
        self._random = random
        self._weights = weights
        self._threads = ThreadPoolExecutor(SESSIONS)
        self._control = engine.connect()
        self._sessions = [self._open(name) for name in "ABCDEFG"[:SESSIONS]]

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for session in self._sessions:  # who holds what another waits for comes first
            if not session.waits:
                session.connection.close()
        self._threads.shutdown()
        for session in self._sessions:
            session.connection.close()
        self._control.close()

    def is_busy(self) -> bool:
        """Tell whether any transaction is open."""
        return any(session.call for session in self._sessions)

    def tick(self, world: World) -> None:
        """Start a call or commit one, as the seed decides."""
        idle = [session for session in self._sessions if session.call is None]
        done = [session for session in self._sessions if session.call is not None and not session.waits]
        blocked = any(session.waits for session in self._sessions)
        if done and (blocked or not idle or self._random.randrange(3) == 0):
            self._commit(self._random.choice(done))
        else:
            self._start(idle[0], choose(world, self._random, self._weights))

    def rest(self) -> None:
        """Commit everything."""
        while self.is_busy():
            done = [session for session in self._sessions if session.call is not None and not session.waits]
            self._commit(self._random.choice(done))

    def _open(self, name: str) -> Session:
        connection = self._engine.connect().execution_options(isolation_level="READ COMMITTED")
        pid = connection.execute(text("SELECT pg_backend_pid()")).scalar_one()
        connection.commit()
        return Session(name, connection, pid)

    def _start(self, session: Session, call: Call) -> None:
        session.call = call
        session.connection.begin()
        session.answer = self._threads.submit(call.run, cast("Engine", OneTransaction(session.connection)))
        self._settle_down()
        self._note(session, call.label)

    def _commit(self, session: Session) -> None:
        assert session.call is not None
        assert session.answer is not None
        answer = session.answer.result()
        session.connection.commit()
        session.call.learn(answer)
        self._note(session, "commit")
        session.call = session.answer = None
        self._settle_down()

    def _settle_down(self) -> None:
        """Wait until every call has returned, or waits for a lock."""
        for session in self._sessions:
            while session.answer is not None and session.waits and not self._is_blocked(session):
                wait([session.answer], timeout=LOOK_AGAIN_S)

    def _is_blocked(self, session: Session) -> bool:
        return bool(self._control.execute(_IS_BLOCKED, {"pid": session.pid}).scalar_one())

    def _note(self, session: Session, what: str) -> None:
        self.trace.append(f"{session.name} {what}{', which waits' if session.waits else ''}")
