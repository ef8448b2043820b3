"""Documents with faults: each is named by its path, all at once, and nothing else is."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.api.conftest import ECHO, PICKY, cluster, satellite

if TYPE_CHECKING:
    from collections.abc import Callable

    from flask.testing import FlaskClient

WRONG: list[Any] = [None, True, 0, 1.5, "text", [], {}, [None], [[]], {"a": 1}]


def faults(client: FlaskClient, document: Any) -> dict[str, str]:
    response = client.post("/executions", json=document)
    assert response.status_code == 422, response.json
    assert response.json is not None
    errors = response.json["errors"]
    assert errors == sorted(errors, key=lambda fault: (fault["path"], fault["message"]))
    return {fault["path"]: fault["message"] for fault in errors}


def test_faults_of_the_shape_and_of_the_graph_come_together(client: FlaskClient) -> None:
    found = faults(
        client,
        cluster(
            satellite("a", "b"),
            satellite("b", "a", confg={}),
            satellite("c", "nowhere"),
            satellite("d", uses="satellite/exospherehost/ecko"),
            satellite("e", "e"),
            satellite("e", 3),  # type: ignore[arg-type]
            {"name": "p", "uses": PICKY, "config": {"n": "x"}},
            sla="7h",
        ),
    )
    assert found.keys() == {
        "sla",
        "satellites[1].confg",
        "satellites[1].dependencies",
        "satellites[2].dependencies[0]",
        "satellites[3].uses",
        "satellites[4].dependencies[0]",
        "satellites[5].dependencies[0]",
        "satellites[5].name",
        "satellites[6].config.n",
    }
    assert found["satellites[1].dependencies"] == "cycle: b → a → b"
    assert "did you mean 'config'" in found["satellites[1].confg"]
    assert ECHO in found["satellites[3].uses"]


def test_the_message_counts_the_faults(client: FlaskClient) -> None:
    response = client.post("/executions", json=cluster(sla="7h", titel="x"))
    assert response.json is not None
    assert response.json["message"].startswith("2 faults")


def test_a_dependency_on_a_satellite_whose_name_is_unreadable_is_no_fault(client: FlaskClient) -> None:
    assert faults(client, cluster({"name": 5, "uses": ECHO}, satellite("b", "five"))).keys() == {"satellites[0].name"}
    assert faults(client, cluster({"uses": ECHO}, satellite("b", "a"))).keys() == {"satellites[0].name"}
    assert faults(client, cluster(None, satellite("b", "a"))).keys() == {"satellites[0]"}  # type: ignore[arg-type]


def test_a_faulty_satellite_is_still_there_for_the_others(client: FlaskClient) -> None:
    document = cluster({"name": "a", "uses": 1, "config": []}, satellite("b", "a"))
    assert faults(client, document).keys() == {"satellites[0].uses", "satellites[0].config"}


@pytest.mark.parametrize("field", [
    "identifier", "sla", "title", "description", "inputs", "failure_policy", "satellites",
])  # fmt: skip
def test_a_wrong_type_is_named_by_its_field(client: FlaskClient, field: str) -> None:
    for value in WRONG:
        if (field, type(value)) in {("title", str), ("description", str), ("inputs", dict)}:
            continue
        found = faults(client, cluster(**{field: value}))
        assert all(path.startswith(field) for path in found), (value, found)


@pytest.mark.parametrize("field", ["name", "uses", "config", "input", "dependencies", "queue", "run_when"])
def test_a_wrong_type_in_a_satellite_is_named_by_its_field(client: FlaskClient, field: str) -> None:
    for value in WRONG:
        if (field, type(value)) in {("name", str), ("queue", str), ("config", dict), ("input", dict)}:
            continue
        if field == "dependencies" and value == []:
            continue
        found = faults(client, cluster(satellite("a") | {field: value}))
        assert all(path.startswith(f"satellites[0].{field}") for path in found), (value, found)


@pytest.mark.parametrize("identifier", ["", "a", "a/", "/a", "a/b/c", "a b/c", "ä/b", "a/b\n", "a" * 129 + "/b"])
def test_an_identifier_is_project_and_name(client: FlaskClient, identifier: str) -> None:
    assert faults(client, cluster(identifier=identifier)).keys() == {"identifier"}


@pytest.mark.parametrize("name", ["", "x" * 129, "a\nb", "\u200b", "\x7f"])
def test_a_name_has_1_to_128_printable_characters(client: FlaskClient, name: str) -> None:
    assert faults(client, cluster(satellite(name))).keys() == {"satellites[0].name"}


def test_required_fields_are_missed(client: FlaskClient) -> None:
    assert faults(client, {}).keys() == {"identifier", "satellites"}
    assert faults(client, cluster({})).keys() == {"satellites[0].name", "satellites[0].uses"}
    assert faults(client, cluster(satellites=[])).keys() == {"satellites"}


@pytest.mark.parametrize("field", ["for_each", "if", "secrets"])
def test_what_is_not_there_yet_is_unknown(client: FlaskClient, field: str) -> None:
    assert faults(client, cluster(satellite("a", **{field: 1}))).keys() == {f"satellites[0].{field}"}


def test_a_wrapped_cluster_stands_alone(client: FlaskClient) -> None:
    assert faults(client, {"cluster": cluster(), "sla": "6h"}).keys() == {"sla"}
    assert faults(client, {"cluster": []}).keys() == {"cluster"}
    assert faults(client, {"cluster": cluster(sla="x")}).keys() == {"sla"}


def test_limits_are_kept(make_client: Callable[..., FlaskClient]) -> None:
    client = make_client(max_satellites=2, max_edges=1, max_depth=1)
    three = cluster(*(satellite(name) for name in "abc"))
    assert "3 satellites; at most 2" in faults(client, three)["satellites"]
    edges = cluster(satellite("a"), satellite("b", "a", "a"))
    assert "2 dependencies in all; at most 1" in faults(client, edges)["satellites"]
    assert "deep" in faults(client, cluster(satellite("a"), satellite("b", "a")))["satellites"]


def test_a_million_satellites_are_refused_fast(client: FlaskClient) -> None:
    assert faults(client, {"satellites": [{}] * 1_000_000}).keys() == {"satellites"}


def test_a_long_unknown_field_is_refused_fast(client: FlaskClient) -> None:
    assert len(faults(client, cluster(**{"x" * 1_000_000: 1}))) == 1
