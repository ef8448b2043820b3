"""Small builders: graphs as dictionaries, clusters out of them, and executions in the store."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from hypothesis import strategies as st
from sqlalchemy import text
from uuid_utils.compat import uuid7

from state_manager.cluster import Satellite
from state_manager.retry import RetryPolicy
from state_manager.states import FailurePolicy, RunWhen
from state_manager.store import executions
from state_manager.store.satellites import Node

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence
    from datetime import datetime
    from random import Random
    from uuid import UUID

    from sqlalchemy import Engine

    from state_manager.store.executions import Receipt

Graph = dict[str, list[str]]
"""The dependencies of each satellite, by name."""

FAIL = "satellite/test/fail"
NOTHING = "satellite/test/nothing"


def chain(length: int) -> Graph:
    return {f"s{at}": [f"s{at - 1}"] if at else [] for at in range(length)}


def front(width: int) -> Graph:
    return {f"s{at}": [] for at in range(width)}


def fan_in(width: int) -> Graph:
    return {**front(width), "join": list(front(width))}


def map_reduce(width: int) -> Graph:
    maps: Graph = {f"map{at}": ["split"] for at in range(width)}
    return {"split": [], **maps, "reduce": list(maps)}


def complete_layers(layers: int, width: int) -> Graph:
    names = [[f"l{layer}-{at}" for at in range(width)] for layer in range(layers)]
    return {name: names[layer - 1] if layer else [] for layer in range(layers) for name in names[layer]}


DIAMOND: Graph = {"a": [], "b": ["a"], "c": ["a"], "d": ["b", "c"]}


def satellites(graph: Mapping[str, Sequence[str]]) -> tuple[Satellite, ...]:
    return tuple(Satellite(name, NOTHING, dependencies=tuple(needs)) for name, needs in graph.items())


@dataclass(frozen=True)
class Shape:
    """The nodes of a graph as the canvas sees them, and their ids by name."""

    nodes: dict[UUID, Node]
    ids: dict[str, UUID]

    def __getitem__(self, name: str) -> UUID:
        return self.ids[name]

    def ready(self) -> list[UUID]:
        return [node.id for node in self.nodes.values() if not node.dependencies]

    def names(self, ids: Collection[UUID]) -> set[str]:
        return {name for name, one in self.ids.items() if one in ids}


def shape(graph: Mapping[str, Sequence[str]]) -> Shape:
    ids = {name: uuid7() for name in graph}
    dependents: dict[str, list[UUID]] = {name: [] for name in graph}
    for name, needs in graph.items():
        for needed in needs:
            dependents[needed].append(ids[name])
    nodes = {
        ids[name]: Node(ids[name], "satellites", tuple(ids[needed] for needed in needs), tuple(dependents[name]))
        for name, needs in graph.items()
    }
    return Shape(nodes, ids)


@dataclass(frozen=True)
class Submitted(Shape):
    """An execution that is in the store."""

    execution_id: UUID
    receipt: Receipt


def submit(
    engine: Engine,
    graph: Mapping[str, Sequence[str]],
    *,
    all_done: Collection[str] = (),
    failing: Collection[str] = (),
    policy: FailurePolicy = FailurePolicy.CONTINUE,
    key: str | None = None,
    project: str = "test",
    document: str = "document",
    max_concurrent: int = 1000,
    max_attempts: int = 1,
    timeout_s: float = 3600,
    dynamic: Mapping[str, Mapping[str, Any]] | None = None,
    execution_id: UUID | None = None,
    now: datetime | None = None,
) -> Submitted:
    """Write an execution of this graph; the satellites named in `failing` are of a type that fails.

    Those named in `dynamic` are to be expanded. With the id of one that is there, its submission is sent again.
    """
    shaped = shape(graph)
    execution = {
        "id": execution_id or uuid7(),
        "project": project,
        "cluster_id": f"{project}/cluster",
        "sla": "24h",
        "failure_policy": policy,
        "timeout_s": timeout_s,
        "definition": {"of": document},
        "definition_hash": document,
        "idempotency_key": key,
    }
    rows: list[dict[str, Any]] = [
        {
            "id": one,
            "ordinal": ordinal,
            "name": name,
            "identifier": FAIL if name in failing else NOTHING,
            "queue": "satellites",
            "timeout_s": None,
            "retry_policy": RetryPolicy(max_attempts=max_attempts).as_json(),
            "run_when": RunWhen.ALL_DONE if name in all_done else RunWhen.ALL_SUCCESS,
            "config": {},
            "input": {},
            "dependencies": shaped.nodes[one].dependencies,
            "dependents": shaped.nodes[one].dependents,
            "dynamic": (dynamic or {}).get(name),
        }
        for ordinal, (name, one) in enumerate(shaped.ids.items())
    ]
    as_json = [json.dumps(value, default=str) for value in (execution, rows)]
    receipt = executions.submit(engine, as_json[0], as_json[1], max_concurrent=max_concurrent, now=now)
    return Submitted(shaped.nodes, shaped.ids, receipt.execution_id, receipt)


def report_worker(engine: Engine, worker_id: UUID, name: str, queues: Collection[str]) -> None:
    """Say that a worker is there, as its lease thread does."""
    with engine.connect() as connection:
        connection.execute(
            text("SELECT register_worker(:id, NULL, 1, :name, :queues, 0)"),
            {"id": worker_id, "name": name, "queues": sorted(queues)},
        )


# Graphs are built from a seed: drawn choice by choice, Hypothesis varies the last choices of a few graphs only.


def arbitrary(random: Random, size: int) -> Graph:
    """Any acyclic graph: each satellite depends on some of those before it."""
    names = [f"s{at}" for at in range(size)]
    return {name: random.sample(names[:at], random.randint(0, min(at, 3))) for at, name in enumerate(names)}


def layered(random: Random, size: int) -> Graph:
    """Layers, each satellite depending on some or all of the layer before: what recorded workflows look like."""
    graph: Graph = {}
    before: list[str] = []
    while len(graph) < size:
        names = [f"s{len(graph) + at}" for at in range(random.randint(1, 4))]
        graph |= {name: random.choice([before, random.sample(before, min(len(before), 2))]) for name in names}
        before = names
    return graph


def series_parallel(random: Random, size: int) -> Graph:
    """Chains and forks within each other, which join again or do not: what chains and chords can say."""
    graph: Graph = {}

    def one(after: list[str]) -> list[str]:
        name = f"s{len(graph)}"
        graph[name] = after
        return [name]

    def block(after: list[str], size: int) -> list[str]:
        if size <= 1:
            return one(after)
        kind = random.choice(["chain", "fork", "open fork"])
        if kind == "chain":
            return block(block(after, size // 2), size - size // 2)
        parts = random.randint(2, 3)
        ends = [end for _ in range(parts) for end in block(after, (size - 1) // parts)]
        return ends if kind == "open fork" else one(ends)

    block([], size)
    return graph


def graphs(max_size: int = 14) -> st.SearchStrategy[Graph]:
    """Draw acyclic graphs of every kind."""
    kinds = st.sampled_from([series_parallel, layered, arbitrary])
    seeds = st.randoms(use_true_random=True)
    return st.builds(lambda kind, random, size: kind(random, size), kinds, seeds, st.integers(1, max_size))


def some_of(random: Random, graph: Graph, one_in: int) -> set[str]:
    """Pick some of a graph's satellites, about one in so many."""
    return {name for name in graph if random.randrange(one_in) == 0}
