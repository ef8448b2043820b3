"""The steps of a walk: each transition of the store, sent by a worker, a client or the reconciler.

A step chooses what it is about, by the seed, from what the world believes. What it returns is one call to the
database, and what the caller learns from the answer, unless the answer is lost.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar
from uuid import UUID

from sqlalchemy import text

from state_manager.lifecycle import lost_outcome
from state_manager.states import ExecutionStatus
from state_manager.store import admission, executions, leases, queueing, transitions
from state_manager.store.transitions import ClaimBudget
from tests.factories import NOTHING
from tests.store.attempts import (
    LEASE,
    MAX_INPUT_BYTES,
    WORKER,
    claim,
    failed,
    failed_for_now,
    fire_due,
    requeued,
    skipped,
)
from tests.store.model.world import Batch, World

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from random import Random

    from sqlalchemy import Engine

    from state_manager.store.transitions import Claimed, Outcome

    Step = Callable[[World, Random], "Call | None"]

T = TypeVar("T")

ONE_IN_LOST = 12
"""Of so many answers one is lost on its way back."""


@dataclass(frozen=True, slots=True)
class Call:
    """One call: how a trace shows it, the call itself, and what its caller does with the answer."""

    label: str
    run: Callable[[Engine], Any]
    learn: Callable[[Any], None] = lambda _: None


def submit(world: World, random: Random) -> Call | None:
    if len(world.under_way) >= world.max_executions:
        return None
    return Call("submit", world.submit(random), world.executions.append)


def claim_some(world: World, random: Random) -> Call | None:
    submitted = random.choice(world.under_way)
    seen = world.seen[submitted.execution_id]
    at_random = _seldom(random)
    wanted = [one.name for one in seen if one.queued_at or at_random]
    if not wanted:
        return None
    batch = Batch(submitted, tuple(_some(random, wanted)), _token(random))
    world.batches.append(batch)
    return _claim(world, random, batch)


def claim_again(world: World, random: Random) -> Call | None:
    """Send a claim again, as a worker does whose answer was lost."""
    return _claim(world, random, random.choice(world.batches)) if world.batches else None


def _claim(world: World, random: Random, batch: Batch) -> Call:
    return _with_losses(
        random,
        Call(
            f"claim {list(batch.names)} of {world.executions.index(batch.submitted)}",
            lambda engine: claim(engine, batch.submitted, *batch.names, token=batch.token),
            world.hold,
        ),
    )


def settle_some(world: World, random: Random) -> Call | None:
    """Settle some of what is held of one execution; now and then claim what that makes ready."""
    attempts = _some_held(world, random)
    if not attempts:
        return None
    outcomes = tuple(_outcome(world, random, one) for one in attempts)
    _let_go(world, attempts)
    world.sent.append(outcomes)
    return _settle(world, random, outcomes)


def settle_again(world: World, random: Random) -> Call | None:
    """Send outcomes again, as a worker does whose answer was lost."""
    return _settle(world, random, random.choice(world.sent)) if world.sent else None


def settle_late(world: World, random: Random) -> Call | None:
    """Report another outcome of what was settled or given back before: it must change nothing."""
    if not world.over:
        return None
    return _settle(world, random, (_outcome(world, random, random.choice(world.over)),))


def _settle(world: World, random: Random, outcomes: Sequence[Outcome]) -> Call:
    budget = None
    if random.randrange(2):
        durations_ms = {NOTHING: random.choice([1.0, 10.0])}
        budget = ClaimBudget(
            _token(random), WORKER, "a worker", LEASE.total_seconds(), ["satellites"], durations_ms, 25, 100,
            MAX_INPUT_BYTES,
        )  # fmt: skip

    names = [f"{world.name_of(one.id)} {one.status} {one.retry_after_s}" for one in outcomes]
    return _with_losses(
        random,
        Call(
            f"settle {names}{' and claim' if budget else ''}",
            lambda engine: transitions.settle(engine, outcomes, max_concurrent=world.max_concurrent, budget=budget),
            lambda settled: world.hold(settled.claimed),
        ),
    )


def release(world: World, random: Random) -> Call | None:
    attempts = _some_held(world, random)
    if not attempts:
        return None
    _let_go(world, attempts)
    names = [world.name_of(one.id) for one in attempts]
    return Call(f"release {names}", lambda engine: transitions.release(engine, attempts))


def renew(world: World, random: Random) -> Call | None:
    if not world.held:
        return None
    attempts = _some(random, world.held)
    parameters = {
        "worker": WORKER,
        "ids": [one.id for one in attempts],
        "claims": [one.claim for one in attempts],
        "lease": LEASE,
    }
    query = text("SELECT taken_away FROM renew(:worker, CAST(:ids AS uuid[]), CAST(:claims AS uuid[]), :lease)")

    def run(engine: Engine) -> list[UUID]:
        with engine.connect() as connection:
            return list(connection.execute(query, parameters).scalar_one())

    return Call(f"renew {[world.name_of(one.id) for one in attempts]}", run)


def expire(world: World, random: Random) -> Call | None:
    """Take back what one execution runs, as if its worker were lost: those who hold it do not learn that."""
    submitted = random.choice(world.under_way)
    if not any(one.status == "running" for one in world.seen[submitted.execution_id]):
        return None
    running = leases.held_by(world.engine, [WORKER])
    mine = sorted((one for one in running if one.execution_id == submitted.execution_id), key=lambda one: str(one.id))
    if not mine:
        return None
    lost = [lost_outcome(one, "it is gone") for one in _some(random, mine)]
    label = f"expire {[world.name_of(one.id) for one in lost]}"
    lease_over = random.randrange(4) == 0
    return Call(
        label + (" if overdue" if lease_over else ""),
        lambda engine: leases.expire(engine, lost, lease_over=lease_over, max_concurrent=world.max_concurrent),
    )


def stop(world: World, random: Random) -> Call | None:
    if not _seldom(random):
        return None
    submitted = random.choice(world.under_way)
    status, error = random.choice([(ExecutionStatus.CANCELLED, None), (ExecutionStatus.FAILED, "it took too long")])
    return Call(
        f"stop {world.executions.index(submitted)} as {status}",
        lambda engine: executions.stop(
            engine, submitted.execution_id, status, max_concurrent=world.max_concurrent, error=error
        ),
    )


def retry(world: World, random: Random) -> Call | None:
    submitted = random.choice(world.under_way)
    failed_ones = [one.name for one in world.seen[submitted.execution_id] if one.status == "failed"]
    if not failed_ones and not _seldom(random):
        return None
    name = random.choice([None, *(failed_ones or submitted.ids)])
    satellite_id = submitted[name] if name else None
    return Call(
        f"retry {name or 'all'} of {world.executions.index(submitted)}",
        lambda engine: executions.retry(engine, submitted.execution_id, satellite_id),
    )


def fire(world: World, random: Random) -> Call | None:
    limit = random.randint(1, 5)
    if not any(one.not_before for seen in world.seen.values() for one in seen):
        return None
    return Call(f"fire {limit}", lambda engine: fire_due(engine, limit, world.later))


def take_lost_messages(world: World, random: Random) -> Call:
    limit = random.randint(1, 5)
    return Call(
        f"take {limit} lost messages",
        lambda engine: queueing.take_lost_messages(engine, "satellites", world.later, limit),
    )


def queue_later(world: World, random: Random) -> Call:
    ids = list(random.choice(world.under_way).ids.values())
    return Call("queue later", lambda engine: queueing.queue_later(engine, ids, 1))


def repair_admission(world: World, _: Random) -> Call:
    return Call("repair admission", lambda engine: admission.repair_admission(engine, world.max_concurrent))


STEPS: dict[Step, tuple[int, ...]] = {
    claim_some: (12,),
    settle_some: (12,),
    submit: (2,),
    fire: (3, 12),
    retry: (2, 6),
    release: (0, 2, 8),
    expire: (1, 4),
    claim_again: (0, 1),
    settle_again: (0, 1),
    settle_late: (0, 1),
    renew: (0, 1),
    take_lost_messages: (0, 1),
    queue_later: (0, 1),
    repair_admission: (0, 1),
    stop: (0, 0, 0, 1),
}
"""The steps, each with the weights of which a seed has one."""


def choose_weights(random: Random) -> dict[Step, int]:
    """Choose how often this seed takes each step.

    Walks that are unlike each other meet more than walks that are all alike (swarm testing): what takes many steps of
    a few kinds is met by a seed that takes hardly any others.
    """
    return {step: random.choice(weights) for step, weights in STEPS.items()}


def choose(world: World, random: Random, weights: Mapping[Step, int]) -> Call:
    """Choose a step that has something to do."""
    world.look()
    if not world.under_way:
        return Call("submit", world.submit(random), world.executions.append)
    while True:
        (step,) = random.choices(list(weights), weights=list(weights.values()))
        if (call := step(world, random)) is not None:
            return call


def _outcome(world: World, random: Random, attempt: Claimed) -> Outcome:
    if attempt.dynamic is not None and not attempt.children and random.randrange(4):
        return world.expand(attempt, random)
    if random.randrange(10) >= world.failures_in_ten:
        return random.choice([world.gathered] * 8 + [skipped, lambda one: requeued(one, random.choice([0, 60]))])(
            attempt
        )
    wait_s = random.choice([None, None, 0, 60, 60])
    return failed(attempt) if wait_s is None else failed_for_now(attempt, wait_s)


def _some_held(world: World, random: Random) -> list[Claimed]:
    if not world.held:
        return []
    execution_id = random.choice(world.held).execution_id
    return _some(random, [one for one in world.held if one.execution_id == execution_id])


def _let_go(world: World, attempts: Sequence[Claimed]) -> None:
    world.held = [one for one in world.held if one not in attempts]
    world.over += attempts


def _with_losses(random: Random, call: Call) -> Call:
    if random.randrange(ONE_IN_LOST):
        return call
    return Call(f"{call.label} (its answer is lost)", call.run)


def _some(random: Random, things: Sequence[T]) -> list[T]:
    return random.sample(things, random.randint(1, len(things)))


def _seldom(random: Random) -> bool:
    """Tell whether to ask for what should be refused."""
    return random.randrange(8) == 0


def _token(random: Random) -> UUID:
    return UUID(int=random.getrandbits(128), version=4)
