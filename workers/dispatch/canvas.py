"""Compilation of a graph into Celery canvases: as much of what follows the ready satellites as a canvas can express.

Pure: nothing is sent, nothing is read. Joins that overlap, branches that never meet and whatever is over the budget
are left out: they are dispatched by themselves once a settle has made them ready.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from celery import chain, chord, group

from workers.app import RUN_SATELLITE, app

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from uuid import UUID

    from celery.canvas import Signature

    from state_manager.store.satellites import Node

LINKS_A_MESSAGE = 50
"""Most satellites in one message: its own, those behind it, and the body of its chord."""

COPIES_A_CANVAS = 200
"""Most copies of body links in a canvas: each part of a chord's header carries the whole body."""


@dataclass(frozen=True, slots=True)
class Run:
    """Satellites in sequence. A step is a satellite, or a `Fork` whose end the next step waits for."""

    steps: tuple[UUID | Fork, ...]
    ends: tuple[UUID, ...]

    @property
    def links(self) -> int:
        """The number of satellites in it."""
        return sum(step.links if isinstance(step, Fork) else 1 for step in self.steps)


@dataclass(frozen=True, slots=True)
class Fork:
    """Parallel runs, and the body that starts when all of them are done."""

    parts: tuple[Run, ...]
    body: tuple[Run, ...]

    @property
    def links(self) -> int:
        """The number of satellites in it."""
        return sum(run.links for run in (*self.parts, *self.body))

    @property
    def ends(self) -> tuple[UUID, ...]:
        """The satellites whose end is its own."""
        return tuple(end for run in self.body for end in run.ends)


def plan(nodes: Mapping[UUID, Node], ready: Sequence[UUID]) -> list[Run | Fork]:
    """Plan what to send for these ready satellites: each is at the head of exactly one of the returned parts."""
    planner = _Planner(nodes)
    runs = [planner.follow(start, LINKS_A_MESSAGE - 1) for start in ready]
    return planner.join(runs, lambda parts: LINKS_A_MESSAGE - max(run.links for run in parts))


def compile_canvas(nodes: Mapping[UUID, Node], ready: Sequence[UUID], root_id: UUID) -> list[Signature]:
    """Return the signatures to send, one for each canvas."""
    return [_signature(part, nodes, str(root_id)) for part in plan(nodes, ready)]


def heads(signature: Mapping[str, Any]) -> Iterator[str]:
    """Yield the ids of the satellites that start at once when a signature of `compile_canvas` is applied."""
    kind, kwargs = signature.get("subtask_type"), signature["kwargs"]
    if kind == "chord":
        yield from heads(kwargs["header"])
    elif kind == "group":
        for task in kwargs["tasks"]:
            yield from heads(task)
    elif kind == "chain":
        yield from heads(kwargs["tasks"][0])
    else:
        yield signature["args"][0]


class _Planner:
    """Looks ahead in the graph from what is ready, as far as a canvas reaches."""

    def __init__(self, nodes: Mapping[UUID, Node]) -> None:
        self._nodes = nodes

    def follow(self, start: UUID, budget: int) -> Run:
        """Extend a run from `start` while its successor depends on nothing else, over at most `budget` satellites."""
        steps: list[UUID | Fork] = [start]
        end, budget = start, budget - 1
        while budget > 0 and (behind := self._nodes[end].dependents) and self._wait_only_for(behind, [end]):
            if len(behind) == 1:
                end, budget = behind[0], budget - 1
                steps.append(end)
                continue
            fork = self._branch(behind, budget)
            if fork is None:
                break
            steps.append(fork)
            budget -= fork.links
            if len(fork.ends) > 1:
                return Run(tuple(steps), fork.ends)
            (end,) = fork.ends
        return Run(tuple(steps), (end,))

    def join(self, runs: Sequence[Run], budget_of: Callable[[Sequence[Run]], int]) -> list[Run | Fork]:
        """Combine runs whose ends are exactly the dependencies of the same joins into a fork; leave the others alone.

        `budget_of` returns how many satellites the body of a fork of these parts may hold.
        """
        meeting: dict[tuple[UUID, ...], list[Run]] = defaultdict(list)
        for run in runs:
            meeting[self._behind(run.ends)].append(run)
        joined: list[Run | Fork] = []
        for joins, parts in meeting.items():
            fork = self._fork(parts, joins, budget_of(parts)) if joins and len(parts) > 1 else None
            joined.extend(parts if fork is None else [fork])
        return joined

    def _branch(self, starts: Sequence[UUID], budget: int) -> Fork | None:
        """Return the nested fork of branches that all meet again within the budget, which they share evenly."""
        if len(starts) >= budget:
            return None
        runs = [self.follow(start, (budget - 1) // len(starts)) for start in starts]
        joined = self.join(runs, lambda parts: budget - sum(run.links for run in parts))
        return joined[0] if len(joined) == 1 and isinstance(joined[0], Fork) else None

    def _fork(self, parts: Sequence[Run], joins: tuple[UUID, ...], budget: int) -> Fork | None:
        """Return the fork of these parts, with a body as long as the budget allows; None where it allows none."""
        if budget < len(joins) or not self._wait_only_for(joins, [end for run in parts for end in run.ends]):
            return None
        if len(joins) == 1:
            body = (self.follow(joins[0], max(min(budget, COPIES_A_CANVAS // len(parts)), 1)),)
            return Fork(tuple(parts), body)
        budget = min(budget, COPIES_A_CANVAS // len(parts)) // len(joins)
        return Fork(tuple(parts), tuple(self.follow(join, budget) for join in joins)) if budget else None

    def _behind(self, ends: Sequence[UUID]) -> tuple[UUID, ...]:
        """Return the dependents of these ends, where each of them has the same."""
        behind = self._nodes[ends[0]].dependents
        return behind if all(self._nodes[end].dependents == behind for end in ends[1:]) else ()

    def _wait_only_for(self, joins: Sequence[UUID], ends: Sequence[UUID]) -> bool:
        waited_for = set(ends)
        return all(
            len(self._nodes[join].dependencies) == len(waited_for)
            and waited_for.issuperset(self._nodes[join].dependencies)
            for join in joins
        )


def _signature(part: Run | Fork, nodes: Mapping[UUID, Node], root_id: str) -> Signature:
    if isinstance(part, Fork):
        header = [_signature(run, nodes, root_id) for run in part.parts]
        body = [_signature(run, nodes, root_id) for run in part.body]
        return chord(header, body[0] if len(body) == 1 else group(body, app=app), app=app)
    steps = [
        _signature(step, nodes, root_id) if isinstance(step, Fork) else _run_satellite(nodes[step], root_id)
        for step in part.steps
    ]
    return steps[0] if len(steps) == 1 else chain(steps, app=app)


def _run_satellite(node: Node, root_id: str) -> Signature:
    options = {"task_id": str(node.id), "root_id": root_id, "queue": node.queue}
    return app.signature(RUN_SATELLITE, args=(str(node.id),), options=options, immutable=True)
