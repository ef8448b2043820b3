"""Every fault of a cluster's graph is named by its path, in work that grows with the graph alone."""

from __future__ import annotations

from graphlib import CycleError, TopologicalSorter
from itertools import pairwise
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

import state_manager.graph
from state_manager.cluster import Satellite
from state_manager.errors import Fault
from state_manager.graph import Limits, faults
from tests import factories
from tests.instruction_count import growth

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.factories import Graph


def found(graph: Graph, limits: Limits | None = None) -> list[tuple[str, str]]:
    return [(fault.path, fault.message) for fault in faults(factories.satellites(graph), limits or Limits())]


def test_sound_graph_has_no_faults() -> None:
    assert found(factories.DIAMOND) == []


def test_every_satellite_that_repeats_a_name_is_named() -> None:
    twins = factories.satellites({"a": []}) * 3
    assert [(fault.path, fault.message) for fault in faults(twins, Limits())] == [
        ("satellites[1].name", "duplicate name 'a', first used by satellites[0]"),
        ("satellites[2].name", "duplicate name 'a', first used by satellites[0]"),
    ]


def test_unknown_dependency_comes_with_the_nearest_names() -> None:
    assert found({"fetch": [], "fetches": [], "count": ["fetch", "fech"]}) == [
        ("satellites[2].dependencies[1]", "unknown dependency 'fech'; did you mean 'fetch' or 'fetches'?")
    ]


def test_unknown_dependency_unlike_any_name_comes_without_suggestion() -> None:
    assert found({"fetch": ["zzz"]}) == [("satellites[0].dependencies[0]", "unknown dependency 'zzz'")]


def test_self_dependency_is_no_cycle() -> None:
    assert found({"a": ["a"]}) == [("satellites[0].dependencies[0]", "self-dependency: 'a' depends on itself")]


def test_dependency_named_twice_is_a_fault() -> None:
    assert found({"a": [], "b": ["a", "a"]}) == [("satellites[1].dependencies[1]", "duplicate dependency 'a'")]


def test_cycle_is_spelled_out_in_the_order_of_its_running() -> None:
    graph = {"before": [], "a": ["c", "before"], "b": ["a"], "c": ["b"], "after": ["c"]}
    ((path, message),) = found(graph)
    names = message.removeprefix("cycle: ").split(" → ")
    assert names[0] == names[-1] == list(graph)[int(path[len("satellites[") : path.index("]")])]
    assert sorted(names[1:]) == ["a", "b", "c"]
    assert all(earlier in graph[later] for earlier, later in pairwise(names))


def test_every_tangle_is_named_once() -> None:
    graph = {"a": ["b"], "b": ["a"], "between": ["a"], "c": ["d", "between"], "d": ["c"], "e": ["f"], "f": ["e"]}
    assert sorted(frozenset(message.split(" ")[1::2]) for _, message in found(graph)) == [
        frozenset("ab"),
        frozenset("cd"),
        frozenset("ef"),
    ]


def test_every_kind_of_fault_is_reported_at_once() -> None:
    graph = {"a": ["b"], "b": ["a"], "c": ["c", "nothing"], "d": []}
    assert len(found(graph, Limits(satellites=3, edges=3, depth=1))) == 6


def test_middle_of_a_huge_cycle_is_counted_instead() -> None:
    graph = factories.chain(10_000) | {"s0": ["s9999"]}
    ((_, message),) = found(graph)
    assert "… 9981 more …" in message
    assert len(message) < 300


@pytest.mark.parametrize(
    ("graph", "limits", "message"),
    [
        (factories.front(4), Limits(satellites=3), "4 satellites; at most 3 are allowed"),
        (factories.fan_in(4), Limits(edges=3), "4 dependencies in all; at most 3 are allowed"),
        (factories.chain(4), Limits(depth=3), "4 satellites deep; at most 3 are allowed"),
    ],
)
def test_limit_is_named_with_what_is_over_it(graph: Graph, limits: Limits, message: str) -> None:
    assert found(graph, limits) == [("satellites", message)]


@pytest.mark.parametrize("graph", [factories.front(3), factories.fan_in(3), factories.chain(3)])
def test_limits_themselves_are_allowed(graph: Graph) -> None:
    assert found(graph, Limits(satellites=4, edges=3, depth=3)) == []


def chained_pairs(pairs: int) -> Graph:
    """Pairs that depend on each other, each on the pair before; the last comes first in the document.

    Laid out so that a search which follows the first unmet dependency walks back to the very first pair.
    """
    graph: Graph = {}
    for block in range(pairs - 1, 0, -4):
        numbers = range(block, block - 4, -1)
        graph |= {f"a{at}": [f"b{at}", *([f"a{at - 1}"] if at else [])] for at in numbers}
        graph |= {f"b{at}": [f"a{at}"] for at in numbers}
    return graph


def misspelt(size: int) -> Graph:
    return {f"satellite-{at:05}": [f"satelite-{at:05}"] for at in range(size)}


@pytest.mark.parametrize(
    ("graph", "faults_each"),
    [
        pytest.param(factories.chain, 0, id="a chain"),
        pytest.param(factories.front, 0, id="a front"),
        pytest.param(lambda size: {"hub": [], **{f"s{at}": ["hub"] for at in range(size - 1)}}, 0, id="a hub"),
        pytest.param(lambda size: {f"s{at}": [f"s{at ^ 1}"] for at in range(size)}, 1 / 2, id="tangles"),
        pytest.param(lambda size: chained_pairs(size // 2), 1 / 2, id="tangles, each behind the other"),
        pytest.param(misspelt, 1, id="misspelt names"),
    ],
)
def test_work_grows_no_faster_than_the_graph(
    monkeypatch: pytest.MonkeyPatch, graph: Callable[[int], Graph], faults_each: float
) -> None:
    monkeypatch.setattr(state_manager.graph, "COMPARISONS", 500)

    def check(size: int) -> Callable[[], object]:
        satellites = factories.satellites(graph(size))
        return lambda: faults(satellites, Limits())

    assert len(faults(factories.satellites(graph(1000)), Limits())) == 1000 * faults_each
    assert growth(check, 400) < 2.2


@st.composite
def tangled(draw: st.DrawFn) -> Graph:
    names = [f"s{at}" for at in range(draw(st.integers(1, 8)))]
    return {
        name: draw(st.lists(st.sampled_from([one for one in names if one != name]), unique=True, max_size=3))
        if len(names) > 1
        else []
        for name in names
    }


@given(tangled())
def test_graph_is_faultless_exactly_when_it_is_acyclic(graph: Graph) -> None:
    try:
        order = list(TopologicalSorter(graph).static_order())
    except CycleError:
        spelled = [message.removeprefix("cycle: ").split(" → ") for _, message in found(graph)]
        assert spelled
        for names in spelled:
            assert names[0] == names[-1]
            assert all(earlier in graph[later] for earlier, later in pairwise(names))
        once = [name for names in spelled for name in names[1:]]
        assert len(once) == len(set(once))
        return
    depths: dict[str, int] = {}
    for name in order:
        depths[name] = 1 + max((depths[needed] for needed in graph[name]), default=0)
    depth = max(depths.values())
    assert found(graph, Limits(depth=depth)) == []
    assert found(graph, Limits(depth=depth - 1)) == [
        ("satellites", f"{depth} satellites deep; at most {depth - 1} are allowed")
    ]


def in_a_group(graph: Graph, name: str = "g") -> Satellite:
    return Satellite(name, satellites=factories.satellites(graph))


def test_groups_are_graphs_of_their_own_and_each_fault_has_its_path() -> None:
    tangled = Satellite("outer", satellites=(in_a_group({"a": ["b"], "b": ["a"]}), *factories.satellites({"c": ["a"]})))
    twins = Satellite("twins", satellites=factories.satellites({"a": []}) * 2)
    places = [(fault.path, fault.message) for fault in faults([tangled, twins], Limits())]
    assert places == [
        ("satellites[0].satellites[1].dependencies[0]", "unknown dependency 'a'"),
        ("satellites[0].satellites[0].satellites[1].dependencies", "cycle: b → a → b"),
        ("satellites[1].satellites[1].name", "duplicate name 'a', first used by satellites[1].satellites[0]"),
    ]


def test_names_in_groups_are_their_own() -> None:
    assert faults([in_a_group({"a": [], "b": ["a"]}), *factories.satellites({"a": []})], Limits()) == []


def test_limits_count_the_satellites_of_groups() -> None:
    cluster = [Satellite("g", satellites=(in_a_group({"a": [], "b": ["a"]}), *factories.satellites({"c": []})))]
    assert faults(cluster, Limits(satellites=5, edges=1)) == []
    assert [fault.message for fault in faults(cluster, Limits(satellites=4, edges=0))] == [
        "5 satellites; at most 4 are allowed",
        "1 dependencies in all; at most 0 are allowed",
    ]
    assert [fault.path for fault in faults(cluster, Limits(depth=1))] == ["satellites[0].satellites[0].satellites"]


@pytest.mark.parametrize("name", ["parse[3]", "parse[03]", "parse/x", "parse[1]/x"])
def test_name_that_a_child_may_have_is_refused(name: str) -> None:
    for parent in (Satellite("parse", "type", for_each=[1]), in_a_group({"x": []}, "parse")):
        (fault,) = faults([Satellite(name, "type"), parent], Limits())
        assert fault == Fault("satellites[0].name", f"{name!r} may become the name of a child of 'parse'")
    assert faults([Satellite(name, "type"), Satellite("parse", "type")], Limits()) == []
    assert faults([Satellite(name, "type"), Satellite("pars", "type", for_each=[1])], Limits()) == []


@pytest.mark.parametrize("name", ["a/b", "a[1]", "["])
def test_names_of_parents_and_in_groups_do_not_look_like_those_of_children(name: str) -> None:
    message = f"{name!r} has / or [, which mark the children in their names"
    assert faults([Satellite(name, "type", for_each=[1])], Limits()) == [Fault("satellites[0].name", message)]
    inside = Satellite("g", satellites=(Satellite(name, "type"),))
    assert faults([inside], Limits()) == [Fault("satellites[0].satellites[0].name", message)]
