"""The executions of one walk, and what its workers and clients believe about them: possibly out of date."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from uuid import UUID

from sqlalchemy import select

from state_manager.lifecycle import lost_outcome
from state_manager.states import FINISHED, ExecutionStatus, FailurePolicy
from state_manager.store import admission, leases, stuck
from state_manager.store.tables import executions, satellites
from tests import factories
from tests.store.attempts import WORKER, claim, completed, execution, expanded, failed, fire_due, settle
from tests.store.invariants import assert_admission_is_right, assert_sound

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from datetime import datetime
    from random import Random

    from sqlalchemy import Engine

    from state_manager.states import SatelliteStatus
    from state_manager.store.transitions import Claimed, Outcome
    from tests.factories import Submitted

GRAPHS = (factories.series_parallel, factories.layered, factories.arbitrary)
PATIENCE = 200
"""Rounds in which whatever is left must come to its end: far more than any walk needs."""


@dataclass(frozen=True, slots=True)
class Batch:
    """A claim that a worker sent, of these satellites by name; its answer may be lost, and then it is sent again."""

    submitted: Submitted
    names: tuple[str, ...]
    token: UUID


@dataclass(frozen=True, slots=True)
class Seen:
    """A satellite at the last look."""

    name: str
    status: SatelliteStatus
    queued_at: datetime | None
    not_before: datetime | None


@dataclass(slots=True)
class World:
    """The state of a walk. Lists, in the order of what happened: a set of ids would not replay."""

    engine: Engine
    later: datetime
    max_executions: int
    """Most that are under way at a time."""
    size: int
    all_done_one_in: int
    failures_in_ten: int
    """Number of attempts, of ten, that fail."""
    parents_one_in: int = 1000
    """One of so many satellites is to be expanded."""
    max_concurrent: int = 2
    executions: list[Submitted] = field(default_factory=list)
    under_way: list[Submitted] = field(default_factory=list)
    """Those in which something might happen, at the last look."""
    seen: dict[UUID, list[Seen]] = field(default_factory=dict)
    """Their satellites, at the last look."""
    held: list[Claimed] = field(default_factory=list)
    """Attempts that a worker has in memory, whether they are still its own or not."""
    over: list[Claimed] = field(default_factory=list)
    """Attempts that were settled or given back: what comes of them now is late."""
    sent: list[tuple[Outcome, ...]] = field(default_factory=list)
    batches: list[Batch] = field(default_factory=list)

    def look(self) -> None:
        """Read the executions in which something may happen still: a failed one may be retried."""
        columns = (
            executions.c.id,
            satellites.c.name,
            satellites.c.status,
            satellites.c.queued_at,
            satellites.c.not_before,
        )
        query = (
            select(*columns)
            .join(satellites, satellites.c.execution_id == executions.c.id)
            .where(executions.c.status.in_(["pending", "running", "failed"]))
            .order_by(satellites.c.ordinal)
        )
        found: dict[UUID, list[Seen]] = {}
        with self.engine.connect() as connection:
            for execution_id, *seen in connection.execute(query):
                found.setdefault(execution_id, []).append(Seen(*seen))
        self.under_way = [one for one in self.executions if one.execution_id in found][-self.max_executions :]
        self.seen = found

    def hold(self, claimed: Iterable[Claimed]) -> None:
        """Take in what a worker has claimed; an answer may come twice."""
        self.held += [one for one in claimed if one not in self.held]

    def name_of(self, satellite_id: UUID) -> str:
        """Say which satellite that is, the same in each run of a seed."""
        for at, submitted in enumerate(self.executions):
            for name, one in submitted.ids.items():
                if one == satellite_id:
                    return f"{at}/{name}"
        raise LookupError(satellite_id)

    def gathered(self, attempt: Claimed) -> Outcome:
        """Complete an attempt; that of a parent fails where one of its children has."""
        query = select(satellites.c.id).where(satellites.c.parent == attempt.id, satellites.c.status == "failed")
        with self.engine.connect() as connection:
            return failed(attempt) if connection.execute(query).all() else completed(attempt)

    def expand(self, attempt: Claimed, random: Random) -> Outcome:
        """Expand an attempt into a few items, of which some may be parents themselves."""
        group = random.choice([None, {"a": [], "b": ["a"]}, {"a": [], "b": [], "c": ["a"]}])
        nested: dict[str, Any] = (
            {"dynamic": {"for_each": []}} if attempt.item is None and random.randrange(3) == 0 else {}
        )
        outcome = expanded(attempt, random.randint(1, 4), group, **nested)
        assert outcome.expansion is not None
        (submitted,) = [one for one in self.executions if one.execution_id == attempt.execution_id]
        submitted.ids.update({row["name"]: UUID(row["id"]) for row in outcome.expansion.children})
        return outcome

    def submit(self, random: Random) -> Callable[[Engine], Submitted]:
        """Choose a new execution."""
        graph = random.choice(GRAPHS)(random, self.size)
        all_done = factories.some_of(random, graph, one_in=self.all_done_one_in)
        policy = random.choice([*[FailurePolicy.CONTINUE] * 4, FailurePolicy.FAIL_FAST])
        max_attempts = random.choice([1, 9, 9])
        dynamic: dict[str, dict[str, Any]] = {
            name: random.choice([{"for_each": []}, {"for_each": [], "max_parallel": random.randint(1, 2)}])
            for name in sorted(factories.some_of(random, graph, one_in=self.parents_one_in))
        }
        return lambda engine: factories.submit(
            engine,
            graph,
            all_done=all_done,
            policy=policy,
            max_attempts=max_attempts,
            dynamic=dynamic,
            max_concurrent=self.max_concurrent,
        )

    def assert_sound(self) -> None:
        """Hold the invariants of every execution, while no call is under way."""
        for submitted in self.executions:
            assert_sound(self.engine, submitted.execution_id)
            assert not stuck.faults_of(self.engine, submitted.execution_id).any()
        assert_admission_is_right(self.engine)

    def finish(self) -> None:
        """Complete whatever can be, as workers and the reconciler would: each execution then ends."""
        for _ in range(PATIENCE):
            admission.repair_admission(self.engine, self.max_concurrent)
            fire_due(self.engine, 1000, self.later)
            open_ones = [one for one in self.executions if not self._has_ended(one)]
            if not open_ones:
                return
            for submitted in open_ones:
                self._take_over(submitted)
        raise AssertionError("an execution does not end: nothing moves it on")

    def _take_over(self, submitted: Submitted) -> None:
        mine = [one for one in self.held if one.execution_id == submitted.execution_id]
        self.held = [one for one in self.held if one not in mine]
        for name in list(submitted.ids):  # one by one, as those that must run alone are claimed
            mine += claim(self.engine, submitted, name)
        if mine:
            settle(self.engine, *map(self.gathered, mine), max_concurrent=self.max_concurrent)
        running = leases.held_by(self.engine, [WORKER])
        lost = [lost_outcome(one, "it is gone") for one in running if one.execution_id == submitted.execution_id]
        if lost:
            leases.expire(self.engine, lost, lease_over=False, max_concurrent=self.max_concurrent)

    def _has_ended(self, submitted: Submitted) -> bool:
        return ExecutionStatus(execution(self.engine, submitted)["status"]) in FINISHED
