"""Expressions, fan-outs and groups are checked when a cluster is submitted, each fault at its path."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from state_manager.cluster import MAX_GROUPS
from tests.api.conftest import ECHO, PICKY, cluster, satellite
from tests.api.test_faults import WRONG, faults

if TYPE_CHECKING:
    from collections.abc import Callable

    from flask.testing import FlaskClient


def group(name: str, *satellites: dict[str, Any], **fields: Any) -> dict[str, Any]:
    return {"name": name, "satellites": list(satellites), **fields}


@pytest.mark.parametrize("field", ["if", "for_each", "max_parallel", "satellites"])
def test_wrong_type_is_named_by_its_field(client: FlaskClient, field: str) -> None:
    for value in WRONG:
        if field == "for_each" and isinstance(value, list):
            continue
        given = {"name": "a", field: value} if field == "satellites" else satellite("a") | {field: value}
        found = faults(client, cluster(given))
        assert all(path.startswith(f"satellites[0].{field}") for path in found), (value, found)


def test_satellite_has_either_uses_or_satellites(client: FlaskClient) -> None:
    assert faults(client, cluster({"name": "a"})).keys() == {"satellites[0].uses"}
    assert faults(client, cluster(group("a", satellite("b"), uses=ECHO))) == {
        "satellites[0].uses": "A satellite has either uses or satellites, not both."
    }
    assert faults(client, cluster(group("a"))).keys() == {"satellites[0].satellites"}


def test_group_takes_nothing_that_only_its_satellites_use(client: FlaskClient) -> None:
    fields = {"config": {}, "input": {}, "retries": 1, "retry_policy": {}, "timeout": 1}
    found = faults(client, cluster(group("a", satellite("b"), **fields)))
    assert found == {f"satellites[0].{name}": f"A group has no {name}; its satellites have." for name in fields}


def test_max_parallel_needs_items(client: FlaskClient) -> None:
    assert faults(client, cluster(satellite("a", max_parallel=1))).keys() == {"satellites[0].max_parallel"}
    assert faults(client, cluster(satellite("a", for_each=[1], max_parallel=0))).keys() == {
        "satellites[0].max_parallel"
    }


def test_every_fault_within_groups_has_its_path(client: FlaskClient) -> None:
    inner = group(
        "inner",
        satellite("parse", config={"uri": "${{ itm.uri }}"}),
        satellite("twice", uses="satellite/test/unknown"),
        satellite("twice", queue="nobody"),
        {"name": "picky", "uses": PICKY, "config": {"n": "x"}, "colour": 1},
        satellite("late", "nowhere", retry_policy={"retry_on": ["timout"]}, config={"k": "${{ secrets.key }}"}),
    )
    found = faults(
        client, cluster(satellite("a"), group("outer", satellite("b"), inner, for_each="${{ inputs.list }}"))
    )
    at = "satellites[1].satellites[1].satellites"
    assert found.keys() == {
        f"{at}[0].config.uri",
        f"{at}[1].uses",
        f"{at}[2].name",
        f"{at}[2].queue",
        f"{at}[3].colour",
        f"{at}[3].config.n",
        f"{at}[4].dependencies[0]",
        f"{at}[4].retry_policy.retry_on[0]",
        f"{at}[4].config.k",
    }
    assert found[f"{at}[0].config.uri"] == "unknown name 'itm'; did you mean 'item'?"
    assert found[f"{at}[4].config.k"] == "there is no secret 'key'"


def test_unreadable_names_within_a_group_may_be_those_that_others_depend_on(client: FlaskClient) -> None:
    document = cluster(group("g", {"name": 5, "uses": ECHO}, satellite("b", "five")))
    assert faults(client, document).keys() == {"satellites[0].satellites[0].name"}


def test_expressions_are_checked_beside_faults_of_the_shape(client: FlaskClient) -> None:
    document = cluster(satellite("a", config={"x": "${{ }}"}, input={"y": "${{ z"}), sla="7h")
    assert faults(client, document) == {
        "sla": "Must be one of: 6h, 12h, 24h.",
        "satellites[0].config.x": "${{  }}: is empty",
        "satellites[0].input.y": "${{ z }}: is not closed by }}",
    }


def test_config_with_expressions_is_checked_as_far_as_it_is_known(client: FlaskClient) -> None:
    def picky(**config: Any) -> dict[str, Any]:
        return {"name": "p", "uses": PICKY, "config": config}

    assert client.post("/executions", json=cluster(picky(n="${{ inputs.n }}"))).status_code == 201
    assert faults(client, cluster(picky(m="${{ inputs.n }}"))).keys() == {"satellites[0].config"}


def test_expressions_elsewhere_are_plain_text(client: FlaskClient) -> None:
    document = cluster(title="${{ x", description="${{ nope }}", inputs={"a": "${{ nope }}"})
    assert client.post("/executions", json=document).status_code == 201


def test_limits_count_satellites_in_groups(make_client: Callable[..., FlaskClient]) -> None:
    client = make_client(max_satellites=2, max_edges=0)
    document = cluster(group("g", satellite("a"), satellite("b", "a")))
    assert faults(client, document).keys() == {"satellites"}


def test_groups_nest_only_so_deep(client: FlaskClient) -> None:
    def nested(depth: int, **fields: Any) -> dict[str, Any]:
        return group(f"g{depth}", nested(depth - 1, **fields)) if depth else satellite("a", **fields)

    assert faults(client, cluster(nested(MAX_GROUPS, colour=1))).keys() == {
        "satellites[0]" + ".satellites[0]" * MAX_GROUPS + ".colour"
    }
    assert faults(client, cluster(nested(MAX_GROUPS + 1))) == {
        "satellites": f"groups are nested more than {MAX_GROUPS} deep"
    }
