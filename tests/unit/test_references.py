"""The expressions of a cluster are checked before it runs: what they refer to must be there by then."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from state_manager.cluster import MAX_ITEMS, Satellite
from state_manager.expressions.names import ROOTS
from state_manager.references import expression_faults
from tests import factories

if TYPE_CHECKING:
    from collections.abc import Collection


def task(name: str, *dependencies: str, text: str | None = None, **fields: Any) -> Satellite:
    config = {} if text is None else {"text": text}
    return Satellite(name, factories.NOTHING, config, dependencies=dependencies, **fields)


def group(name: str, *satellites: Satellite, needs: tuple[str, ...] = (), **fields: Any) -> Satellite:
    return Satellite(name, satellites=satellites, dependencies=needs, **fields)


def found(*satellites: Satellite, secrets: Collection[str] = ()) -> dict[str, str]:
    return {fault.path: fault.message for fault in expression_faults(satellites, lambda: secrets)}


def test_sound_expressions_have_no_faults() -> None:
    assert (
        found(
            task("a", text="plain"),
            task("b", "a", text="${{ satellites.a.output.x }} and ${{ inputs.y }} and ${{ execution.id }}"),
            task("c", "b", text="${{ satellites.a.output }}", condition="${{ satellites.b.output }}"),
            task("d", "c", text="${{ [item, index] }}", for_each="${{ satellites.a.output }}"),
            task("e", text="${{ secrets.key }} $${{ x"),
            secrets=["key"],
        )
        == {}
    )


def test_near_and_far_ancestors_can_be_read_and_nothing_else() -> None:
    reader = "${{ [satellites.a.output, satellites.b.output] }}"
    chain = [task("a"), task("b", "a"), task("c", "b", text=reader), task("d", text=reader)]
    assert found(*chain) == {
        "satellites[3].config.text": "'b' is no ancestor of 'd', whose dependencies do not lead to it"
    }
    assert found(task("x", text="${{ satellites.y.output }}"), task("y", "x")) == {
        "satellites[0].config.text": "'y' is no ancestor of 'x', whose dependencies do not lead to it"
    }
    assert found(task("x", text="${{ satellites.x.output }}")) == {
        "satellites[0].config.text": "'x' is the satellite itself, or a group that it is in"
    }


def test_unknown_satellite_comes_with_the_nearest_names() -> None:
    assert found(task("fetch"), task("b", "fetch", text="${{ satellites.fecth.output }}")) == {
        "satellites[1].config.text": "there is no satellite 'fecth'; did you mean 'fetch'?"
    }


def test_each_fault_has_the_path_of_its_text() -> None:
    config = {"a": [{"b": "x ${{ nope }}"}, "${{ satellites.z.output }}"], "c": "${{ inputs. }}"}
    assert found(task("s"), Satellite("t", factories.NOTHING, config, {"i": "${{ item }}"})) == {
        "satellites[1].config.a[0].b": f"unknown name 'nope'; known are {', '.join(ROOTS)}",
        "satellites[1].config.a[1]": "there is no satellite 'z'",
        "satellites[1].config.c": "${{ inputs. }}: ends too early, at column 7",
        "satellites[1].input.i": "item and index are there in a fan-out alone",
    }


@pytest.mark.parametrize(
    "text", ["yes", "${{ inputs.a }} and more", "${{ inputs.a }}${{ inputs.b }}", "$${{ inputs.a }}", ""]
)
def test_if_and_for_each_are_one_expression(text: str) -> None:
    assert found(task("a", condition=text, for_each=text)) == {
        "satellites[0].if": "must be one expression, ${{ … }}, and nothing else",
        "satellites[0].for_each": "must be one expression, ${{ … }}, and nothing else",
    }


def test_literal_items_may_hold_expressions() -> None:
    assert found(task("a", for_each=["x", "${{ inputs.y }}", {"z": "v-${{ inputs.y }}"}])) == {}
    assert found(task("a", for_each=["x", {"y": "${{ item }}"}])).keys() == {"satellites[0].for_each[1].y"}


def test_too_many_items_are_refused() -> None:
    assert found(task("a", for_each=[0] * MAX_ITEMS)) == {}
    assert found(task("a", for_each=[0] * (MAX_ITEMS + 1))) == {
        "satellites[0].for_each": "10001 items; at most 10000 are allowed"
    }


def test_item_is_there_within_a_fan_out() -> None:
    inner = task("parse", text="${{ item.uri }} ${{ index }}", condition="${{ item.ok }}")
    assert found(group("g", inner, for_each=[1])) == {}
    assert found(group("g", group("h", inner), for_each=[1])) == {}
    assert found(group("g", task("p", for_each="${{ item.pages }}"), for_each=[1])) == {}
    assert found(group("g", inner)).keys() == {
        "satellites[0].satellites[0].config.text",
        "satellites[0].satellites[0].if",
    }
    assert found(task("a", for_each="${{ item.pages }}")).keys() == {"satellites[0].for_each"}


def test_if_of_a_fan_out_may_read_its_item_but_not_if_it_is_a_group() -> None:
    assert found(task("a", for_each=[1], condition="${{ item }}")) == {}
    wrong = found(group("g", task("a"), for_each=[1], condition="${{ item }}"))
    assert wrong.keys() == {"satellites[0].if"}
    assert wrong["satellites[0].if"].startswith("the `if` of a group is decided once")


def test_satellites_of_a_group_read_their_ancestors_and_those_of_their_groups() -> None:
    text = "${{ [satellites.near.output, satellites.middle.output, satellites.far.output] }}"
    innermost = group("inner", task("near"), task("reader", "near", text=text), needs=("middle",))
    assert found(task("far"), task("x", "far"), group("outer", task("middle"), innermost, needs=("x",))) == {}
    beside = group("inner", task("near"), task("reader", text=text))
    wrong = found(task("far"), group("outer", task("middle"), beside))
    assert wrong.keys() == {"satellites[1].satellites[1].satellites[1].config.text"}


def test_inner_names_hide_outer_ones() -> None:
    text = "${{ satellites.a.output }}"
    assert found(task("a"), group("g", task("b", text=text), needs=("a",))) == {}
    assert found(task("a"), group("g", task("a"), task("b", text=text), needs=("a",))) == {
        "satellites[1].satellites[1].config.text": "'a' is no ancestor of 'b', whose dependencies do not lead to it"
    }


def test_nobody_reads_into_a_group_or_the_group_around() -> None:
    outside = found(group("g", task("a")), task("b", "g", text="${{ satellites.a.output }}"))
    assert outside == {"satellites[1].config.text": "there is no satellite 'a'"}
    inside = found(group("g", task("a", text="${{ satellites.g.output }}")))
    assert inside == {
        "satellites[0].satellites[0].config.text": "'g' is the satellite itself, or a group that it is in"
    }


def test_secrets_must_exist_and_are_looked_up_only_where_one_is_named() -> None:
    assert found(task("a", text="${{ secrets.api-kee }}"), secrets=["api-key"]) == {
        "satellites[0].config.text": "there is no secret 'api-kee'; did you mean 'api-key'?"
    }

    def look_up() -> Collection[str]:
        raise AssertionError

    assert list(expression_faults([task("a", text="${{ inputs.b }}")], look_up)) == []


def test_secrets_cannot_become_items() -> None:
    text = "${{ [secrets.key] }}"
    wrong = found(task("a", for_each=text), task("b", for_each=[text]), secrets=["key"])
    assert wrong.keys() == {"satellites[0].for_each", "satellites[1].for_each[0]"}


def test_ancestors_in_a_cycle_are_not_judged() -> None:
    text = "${{ satellites.c.output }}"
    assert found(task("a", "b", text=text), task("b", "a"), task("c")) == {}


@given(st.data())
def test_ancestors_are_those_that_the_dependencies_lead_to(data: st.DataObject) -> None:
    graph = data.draw(factories.graphs())
    names = list(graph)
    reader = data.draw(st.sampled_from(names))
    target = data.draw(st.sampled_from(names))
    above: set[str] = set()
    front = [reader]
    while front:
        above |= (new := set(graph[front.pop()]) - above)
        front += new
    text = f"${{{{ satellites.{target}.output }}}}"
    satellites = [task(name, *needs, text=text if name == reader else None) for name, needs in graph.items()]
    assert bool(found(*satellites)) is (target not in above)
