"""The row of a satellite has what is decided when it runs, and the templates of its children."""

from __future__ import annotations

from typing import Any

import pytest

from state_manager.cluster import Cluster, Satellite
from state_manager.expansion import GROUP
from state_manager.retry import RetryPolicy
from state_manager.rows import Rows
from state_manager.store.satellite_types import SatelliteType
from tests.factories import NOTHING
from tests.unit.test_references import group, task

TYPES = {name: SatelliteType(name, "q", timeout_s=5) for name in ("type", NOTHING)}


def row(satellite: Satellite) -> dict[str, Any]:
    rows = Rows(Cluster("p/c", (satellite,)), TYPES, RetryPolicy())
    (found,) = rows.of_cluster()
    return found


def dynamic(satellite: Satellite) -> Any:
    return row(satellite)["dynamic"]


def test_plain_satellite_leaves_nothing_to_its_run() -> None:
    assert dynamic(task("a", text="$ {{ x }}")) is None


@pytest.mark.parametrize("text", ["${{ inputs.x }}", "of ${{ index }}", "$${{ literal }}"])
def test_satellite_with_an_expression_is_resolved_at_its_run(text: str) -> None:
    assert dynamic(task("a", text=text)) == {"scopes": [""]}
    assert dynamic(Satellite("a", "type", input={"x": [text]})) == {"scopes": [""]}


def test_fan_out_has_the_template_of_a_child() -> None:
    fan_out = task("a", text="${{ item }}", for_each="${{ inputs.x }}", condition="${{ inputs.y }}", max_parallel=3)
    found = dynamic(fan_out)
    (child,) = found.pop("template")
    assert found == {
        "if": "${{ inputs.y }}", "for_each": "${{ inputs.x }}", "max_parallel": 3, "scopes": [""],
    }  # fmt: skip
    assert (child["name"], child["dependencies"], child["dynamic"]) == ("", [], {})
    assert (child["queue"], child["timeout_s"], child["config"]) == ("q", 5, fan_out.config)


def test_children_without_expressions_leave_nothing_to_their_run() -> None:
    (child,) = dynamic(task("a", text="plain", for_each=[1, 2]))["template"]
    assert child["dynamic"] is None


def test_if_that_reads_the_item_is_decided_by_the_children() -> None:
    found = dynamic(task("a", for_each=[1, 2], condition="${{ item > `1` }}"))
    assert "if" not in found
    assert found["template"][0]["dynamic"] == {"if": "${{ item > `1` }}"}


def test_group_has_the_templates_of_its_satellites() -> None:
    found = row(group("g", task("p"), task("q", "p"), group("inner", task("r"))))
    assert found["identifier"] == GROUP
    p, q, inner = found["dynamic"]["template"]
    assert [one["name"] for one in (p, q, inner)] == ["p", "q", "inner"]
    assert (p["dynamic"], q["dynamic"], q["dependencies"]) == (None, {}, ["p"])
    assert [one["name"] for one in inner["dynamic"]["template"]] == ["r"]
