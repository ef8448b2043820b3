"""Clusters become chains and chords; what no canvas can say is left to the settle that makes it ready."""

from __future__ import annotations

import time
from collections import Counter
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from uuid_utils.compat import uuid7

from tests import factories
from tests.factories import DIAMOND, chain, fan_in, front, map_reduce, shape
from workers.app import RUN_SATELLITE
from workers.dispatch import canvas
from workers.dispatch.canvas import LINKS_A_MESSAGE, Fork, Run, compile_canvas, plan

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from random import Random
    from uuid import UUID

    from state_manager.store.satellites import Node
    from tests.factories import Graph, Shape

AT_ONCE_S = 0.5


class Chord(tuple[Any, Any]):
    """A chord's header and body, in an outline."""

    __slots__ = ()


class Group(list[Any]):
    """A group, in an outline."""


def canvases(graph: Graph) -> list[Any]:
    """Compile what a graph begins with, as an outline of Celery's signatures: names, chains as lists, chords."""
    shaped = shape(graph)
    names = {str(one): name for name, one in shaped.ids.items()}
    return [_outline(one, names) for one in compile_canvas(shaped.nodes, shaped.ready(), uuid7())]


def _outline(signature: Mapping[str, Any], names: Mapping[str, str]) -> Any:
    kind, kwargs = signature["subtask_type"], signature["kwargs"]
    if kind == "chord":
        return Chord(([_outline(one, names) for one in kwargs["header"]], _outline(kwargs["body"], names)))
    if kind == "group":
        return Group(_outline(one, names) for one in kwargs["tasks"])
    if kind == "chain":
        return [_outline(one, names) for one in kwargs["tasks"]]
    return names[signature["args"][0]]


def test_satellites_alone_are_sent_alone() -> None:
    assert canvases(front(2)) == ["s0", "s1"]


def test_linear_cluster_is_one_chain() -> None:
    assert canvases(chain(3)) == [["s0", "s1", "s2"]]


def test_long_chain_goes_on_in_another_message() -> None:
    (one,) = canvases(chain(200))
    assert LINKS_A_MESSAGE // 2 < len(one) <= LINKS_A_MESSAGE
    assert one == list(chain(200))[: len(one)]


def test_diamond_is_a_chain_with_a_chord_in_it() -> None:
    assert canvases(DIAMOND) == [["a", Chord((["b", "c"], "d"))]]


def test_map_reduce_of_twenty_is_one_canvas() -> None:
    assert canvases(map_reduce(20)) == [["split", Chord(([f"map{at}" for at in range(20)], "reduce"))]]


def test_chains_that_meet_are_a_chord_of_chains() -> None:
    graph = {"a": [], "b": ["a"], "c": [], "d": ["b", "c"], "e": ["d"]}
    assert canvases(graph) == [Chord(([["a", "b"], "c"], ["d", "e"]))]


def test_joins_with_the_same_dependencies_are_the_group_of_a_body() -> None:
    graph = {"a": [], "b": [], "c": ["a", "b"], "d": ["b", "a"]}
    assert canvases(graph) == [Chord((["a", "b"], Group(["c", "d"])))]


def test_tails_of_joins_with_the_same_dependencies_share_the_budget_of_copies() -> None:
    parts = [f"part{at}" for at in range(20)]
    tails = {
        f"{name}{at}": [f"{name}{at - 1}"] if at else parts
        for name in ("left", "right")
        for at in range(LINKS_A_MESSAGE)
    }
    each = canvas.COPIES_A_CANVAS // len(parts) // 2
    body = Group([[f"{name}{at}" for at in range(each)] for name in ("left", "right")])
    assert canvases({part: [] for part in parts} | tails) == [Chord((parts, body))]


def test_forks_within_forks_are_chords_within_chords() -> None:
    graph = {"a": [], "b": ["a"], "c": ["a"], "d": ["b"], "e": ["b"], "f": ["d", "e"], "g": ["f", "c"]}
    assert canvases(graph) == [["a", Chord(([["b", Chord((["d", "e"], "f"))], "c"], "g"))]]


def test_diamond_after_diamond_is_one_chain_of_chords() -> None:
    graph = DIAMOND | {"e": ["d"], "f": ["d"], "g": ["e", "f"]}
    assert canvases(graph) == [["a", Chord((["b", "c"], ["d", Chord((["e", "f"], "g"))]))]]


def test_joins_that_overlap_are_left_out() -> None:
    graph = {"a": [], "b": [], "c": [], "d": ["a", "b"], "e": ["b", "c"]}
    assert canvases(graph) == ["a", "b", "c"]


def test_join_that_waits_for_something_else_too_is_left_out() -> None:
    graph = {"a": [], "b": ["a"], "c": ["b"], "d": [], "e": ["a", "d"]}
    assert canvases(graph) == ["a", "d"]


def test_branches_that_never_meet_are_left_out() -> None:
    assert canvases({"a": [], "b": ["a"], "c": ["a"]}) == ["a"]


def test_wide_front_carries_its_join_alone() -> None:
    graph = fan_in(1_000) | {"after": ["join"]}
    assert canvases(graph) == [Chord((list(front(1_000)), "join"))]


def test_join_of_parts_that_run_already_is_left_out() -> None:
    shaped = shape(fan_in(3))
    assert [part.ends for part in plan(shaped.nodes, [shaped["s0"], shaped["s1"]])] == [
        (shaped["s0"],),
        (shaped["s1"],),
    ]


def test_signature_carries_ids_and_nothing_else() -> None:
    shaped, root = shape(front(1)), uuid7()
    (signature,) = compile_canvas(shaped.nodes, shaped.ready(), root)
    satellite_id = str(shaped["s0"])
    assert (signature["task"], tuple(signature["args"]), signature["kwargs"]) == (RUN_SATELLITE, (satellite_id,), {})
    assert signature["options"] == {"task_id": satellite_id, "root_id": str(root), "queue": "satellites"}
    assert signature["immutable"]


@given(
    graph=factories.graphs(max_size=30),
    random=st.randoms(use_true_random=True),
    links=st.sampled_from([50, 2, 3, 5, 12]),
    copies=st.sampled_from([200, 1, 6]),
)
def test_plan_says_what_the_graph_says(graph: Graph, random: Random, links: int, copies: int) -> None:
    shaped = shape(graph)
    ready = _somewhere(shaped, random)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(canvas, "LINKS_A_MESSAGE", links)
        patch.setattr(canvas, "COPIES_A_CANVAS", copies)
        parts = plan(shaped.nodes, ready)
        signatures = compile_canvas(shaped.nodes, ready, uuid7())
    assert Counter(head for part in parts for head in _heads(part)) == Counter(ready)
    assert max(Counter(one for part in parts for one in _satellites(part)).values()) == 1
    for part in parts:
        _assert_canvas_waits_as_the_graph_does(part, shaped.nodes)
    for signature in signatures:
        header, body = _messages(signature)
        assert max(header) + body <= links
        assert body == 1 or len(header) * body <= copies


def _somewhere(shaped: Shape, random: Random) -> list[UUID]:
    """Return what is ready after some of the graph is done."""
    done: set[UUID] = set()
    for node in shaped.nodes.values():
        if done.issuperset(node.dependencies) and random.random() < 0.5:
            done.add(node.id)
    ready = [one for one, node in shaped.nodes.items() if one not in done and done.issuperset(node.dependencies)]
    return ready or shaped.ready()


def _heads(part: Run | Fork | UUID) -> list[UUID]:
    if isinstance(part, Run):
        return _heads(part.steps[0])
    return [head for run in part.parts for head in _heads(run)] if isinstance(part, Fork) else [part]


def _ends(part: Run | Fork | UUID) -> list[UUID]:
    if isinstance(part, Run):
        return _ends(part.steps[-1])
    return [end for run in part.body for end in _ends(run)] if isinstance(part, Fork) else [part]


def _satellites(part: Run | Fork | UUID) -> Iterator[UUID]:
    if isinstance(part, Run):
        for step in part.steps:
            yield from _satellites(step)
    elif isinstance(part, Fork):
        for run in (*part.parts, *part.body):
            yield from _satellites(run)
    else:
        yield part


def _assert_canvas_waits_as_the_graph_does(part: Run | Fork | UUID, nodes: Mapping[UUID, Node]) -> None:
    """Check that each step waits for exactly the ends of the step before it, recursively in all parts."""
    if isinstance(part, Fork):
        assert len(part.parts) > 1
        before = [end for run in part.parts for end in _ends(run)]
        _assert_waits_for(before, [head for run in part.body for head in _heads(run)], nodes)
        for run in (*part.parts, *part.body):
            _assert_canvas_waits_as_the_graph_does(run, nodes)
    elif isinstance(part, Run):
        assert list(part.ends) == _ends(part)
        for one, following in pairwise(part.steps):
            _assert_waits_for(_ends(one), _heads(following), nodes)
        for step in part.steps:
            _assert_canvas_waits_as_the_graph_does(step, nodes)


def _assert_waits_for(ends: Sequence[UUID], following: Sequence[UUID], nodes: Mapping[UUID, Node]) -> None:
    for one in following:
        assert set(nodes[one].dependencies) == set(ends)


def _messages(signature: Mapping[str, Any]) -> tuple[list[int], int]:
    """Count the satellites in each message that a canvas begins with, and those of the body that they all carry."""
    if signature["subtask_type"] != "chord":
        return [_count(signature)], 0
    return [_count(one) for one in signature["kwargs"]["header"]], _count(signature["kwargs"]["body"])


def _count(signature: Any) -> int:
    if isinstance(signature, dict):
        return (signature.get("task") == RUN_SATELLITE) + sum(map(_count, signature.values()))
    return sum(map(_count, signature)) if isinstance(signature, list | tuple) else 0


def ladder(diamonds: int, width: int) -> Graph:
    graph: Graph = {"a0": []}
    for at in range(diamonds):
        rungs = [f"b{at}-{nth}" for nth in range(width)]
        graph |= {rung: [f"a{at}"] for rung in rungs}
        graph[f"a{at + 1}"] = rungs
    return graph


@pytest.mark.parametrize(
    "graph",
    [
        pytest.param(chain(10_000), id="a chain"),
        pytest.param(front(10_000), id="a front"),
        pytest.param({"hub": [], **{f"s{at}": ["hub"] for at in range(9_999)}}, id="a hub"),
        pytest.param({f"s{at}": [f"s{(at - 1) // 2}"] if at else [] for at in range(10_000)}, id="a tree of forks"),
        pytest.param(
            {f"s{at}": [f"s{one}" for one in (2 * at + 1, 2 * at + 2) if one < 10_000] for at in range(10_000)},
            id="a tree of joins",
        ),
        pytest.param(ladder(3_000, 2), id="a ladder of diamonds"),
        pytest.param(ladder(300, 32), id="a ladder of wide diamonds"),
        pytest.param(factories.complete_layers(2, 300), id="every part in every join"),
        pytest.param(
            {**front(5_000), **{f"join{at}": [f"s{(at + k) % 5_000}" for k in range(10)] for at in range(5_000)}},
            id="joins that overlap",
        ),
        pytest.param(
            {f"hub{at}": [] for at in range(99)} | {f"s{at}": [f"hub{at % 99}"] for at in range(9_900)},
            id="many hubs",
        ),
    ],
)
def test_plan_of_ten_thousand_satellites_is_made_at_once(graph: Graph) -> None:
    shaped = shape(graph)
    ready = shaped.ready()
    start = time.process_time()
    plan(shaped.nodes, ready)
    assert time.process_time() - start < AT_ONCE_S
