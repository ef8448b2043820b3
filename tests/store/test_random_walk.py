"""Random claims, settles, losses and repetitions over random graphs leave the rows consistent."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from hypothesis import given, note
from hypothesis import strategies as st

from state_manager.states import FINISHED, FailurePolicy
from state_manager.store import satellites
from tests import factories
from tests.store.attempts import claim, completed, execution, failed, rows, settle
from tests.store.invariants import assert_admission_is_right, assert_sound

if TYPE_CHECKING:
    from random import Random

    from sqlalchemy import Engine

    from state_manager.store.transitions import Claimed, Outcome
    from tests.factories import Graph, Submitted

T = TypeVar("T")


@given(graph=factories.graphs(), policy=st.sampled_from(FailurePolicy), random=st.randoms(use_true_random=True))
def test_random_walk_ends_in_a_sound_and_finished_execution(
    engine: Engine, graph: Graph, policy: FailurePolicy, random: Random
) -> None:
    all_done = factories.some_of(random, graph, one_in=3)
    note(f"{all_done=}")
    submitted = factories.submit(engine, graph, all_done=all_done, policy=policy)
    walk = Walk(engine, submitted, random)
    steps = [walk.claim, walk.settle, walk.settle_again, walk.settle_late, walk.claim_in_vain]
    for step in random.choices(steps, weights=[3, 3, 1, 1, 1], k=2 * len(graph)):
        note(step.__name__)
        step()
        assert_sound(engine, submitted.execution_id)
    walk.finish()
    assert_sound(engine, submitted.execution_id)
    assert execution(engine, submitted)["status"] in FINISHED
    assert_admission_is_right(engine)


class Walk:
    """The steps that workers, their losses and their repetitions take; each picks what it is about."""

    def __init__(self, engine: Engine, submitted: Submitted, random: Random) -> None:
        self._random = random
        self._engine = engine
        self._submitted = submitted
        self._held: list[Claimed] = []
        self._late: list[Claimed] = []
        self._sent: list[Outcome] = []

    def finish(self) -> None:
        """Complete what is held and what is ready, until nothing is."""
        while self._held or satellites.ready(self._engine, self._submitted.execution_id):
            self._held += claim(self._engine, self._submitted, *self._submitted.ids)
            settle(self._engine, *map(completed, self._held))
            self._held = []

    def claim(self) -> None:
        """Claim some satellites, ready or not: exactly those that are ready are given, in their order."""
        names = self._some(list(self._submitted.ids))
        ready = satellites.ready(self._engine, self._submitted.execution_id)
        attempts = claim(self._engine, self._submitted, *names)
        asked = {self._submitted[name] for name in names}
        assert [one.id for one in attempts] == [one for one in ready if one in asked]
        self._held += attempts

    def settle(self) -> None:
        """Settle some of what is held, well or badly: what it calls ready is what has become ready."""
        if not self._held:
            return
        attempts = self._some(self._held)
        outcomes = [self._random.choice([completed, completed, failed])(one) for one in attempts]
        before = satellites.ready(self._engine, self._submitted.execution_id)
        settled = settle(self._engine, *outcomes)
        after = satellites.ready(self._engine, self._submitted.execution_id)
        assert settled.landed == {one.id for one in attempts}
        assert list(settled.ready) == [one for one in after if one not in before]
        assert (settled.ended is not None) == (execution(self._engine, self._submitted)["status"] in FINISHED)
        self._held = [one for one in self._held if one not in attempts]
        self._sent += outcomes
        self._forget_the_cancelled()

    def settle_again(self) -> None:
        """Send an outcome again whose answer was lost: it is landed, and nothing changes."""
        if self._sent:
            outcome = self._random.choice(self._sent)
            before = rows(self._engine, self._submitted)
            assert settle(self._engine, outcome).landed == {outcome.id}
            assert rows(self._engine, self._submitted) == before

    def settle_late(self) -> None:
        """Settle what was taken away: it does not land, and nothing changes."""
        if self._late:
            attempt = self._random.choice(self._late)
            before = rows(self._engine, self._submitted)
            settled = settle(self._engine, completed(attempt))
            assert (settled.landed, settled.ready, settled.ended) == (frozenset(), (), None)
            assert rows(self._engine, self._submitted) == before

    def claim_in_vain(self) -> None:
        """A rival asks for what is held already, and is refused."""
        if self._held:
            name = self._random.choice(self._held).name
            assert claim(self._engine, self._submitted, name) == []

    def _forget_the_cancelled(self) -> None:
        running = {row["claim"] for row in rows(self._engine, self._submitted).values() if row["status"] == "running"}
        self._late += [one for one in self._held if one.claim not in running]
        self._held = [one for one in self._held if one.claim in running]

    def _some(self, things: list[T]) -> list[T]:
        return self._random.sample(things, self._random.randint(1, len(things)))
