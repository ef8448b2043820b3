"""Documents with faults: each is named by its path, all at once, and nothing else is."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pytest

from state_manager.store.satellite_types import SatelliteType, Unavailable, register_types
from tests.api.conftest import ECHO, LIMITED, PICKY, cluster, satellite
from tests.factories import report_worker
from tests.waiting import until

if TYPE_CHECKING:
    from collections.abc import Callable

    from flask.testing import FlaskClient
    from sqlalchemy import Engine

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
        if (field, type(value)) in {("name", str), ("config", dict), ("input", dict)}:
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


@pytest.mark.parametrize("field", ["secrets", "trigger"])
def test_what_is_not_there_yet_is_unknown(client: FlaskClient, field: str) -> None:
    assert faults(client, cluster(satellite("a", **{field: 1}))).keys() == {f"satellites[0].{field}"}


def test_a_wrapped_cluster_stands_alone(client: FlaskClient) -> None:
    assert faults(client, {"cluster": cluster(), "sla": "6h"}).keys() == {"sla"}
    assert faults(client, {"cluster": []}).keys() == {"cluster"}
    assert faults(client, {"cluster": cluster(sla="x")}).keys() == {"sla"}


def test_unknown_type_is_one_fault_however_many_satellites_use_it(client: FlaskClient) -> None:
    wrong = [satellite(f"s{at}", uses="satellite/test/pickyy") for at in range(3)]
    found = faults(client, cluster(satellite("a"), *wrong, satellite("z", uses="satellite/none/such-thing")))
    assert found.keys() == {"satellites[1].uses", "satellites[4].uses"}
    message = found["satellites[1].uses"]
    assert message.startswith("unknown satellite 'satellite/test/pickyy'; did you mean 'satellite/test/picky' or ")
    assert message.endswith(
        "? A worker registers it once its module is in SATELLITE_MODULES. (2 more satellites have the same.)"
    )
    assert "SATELLITE_MODULES" in found["satellites[4].uses"]
    assert "more" not in found["satellites[4].uses"]


def test_queue_that_no_worker_has_is_refused_once(client: FlaskClient) -> None:
    many = [satellite(f"s{at}", queue=f"queue-{at % 2}") for at in range(6)]
    found = faults(client, cluster(satellite("a", queue="pickyy"), *many))
    assert found.keys() == {"satellites[0].queue", "satellites[1].queue", "satellites[2].queue"}
    assert found["satellites[0].queue"] == (
        "unknown queue 'pickyy'; did you mean 'picky'? "
        "No worker has listened to it: start one with -Q pickyy, or name it in ALLOWED_QUEUES."
    )
    assert found["satellites[1].queue"].endswith("(2 more satellites have the same.)")


def test_queue_of_a_type_of_a_worker_or_of_the_setting_is_known(
    make_client: Callable[..., FlaskClient], engine: Engine
) -> None:
    report_worker(engine, uuid4(), "w", ["satellites", "gpu"])
    client = make_client(allowed_queues=("later",))
    for queue in ("satellites", "picky", "gpu", "later"):
        assert client.post("/executions", json=cluster(satellite("a", queue=queue))).status_code == 201
    assert faults(client, cluster(satellite("a", queue="latter")))["satellites[0].queue"].startswith(
        "unknown queue 'latter'; did you mean 'later' or "
    )


def test_kind_of_error_that_nobody_declares_is_named_with_the_nearest(client: FlaskClient) -> None:
    policy = {"retry_on": ["timeout", "timout", "rate_limited"]}
    found = faults(
        client,
        cluster(
            satellite("a", retry_policy=policy),
            satellite("b", uses=LIMITED, retry_policy=policy),
            retry_policy={"retry_on": ["rate_limited", "x-own", "newtork_error"]},
        ),
    )
    assert found.keys() == {
        "retry_policy.retry_on[2]",
        "satellites[0].retry_policy.retry_on[1]",
        "satellites[0].retry_policy.retry_on[2]",
        "satellites[1].retry_policy.retry_on[1]",
    }
    assert found["satellites[1].retry_policy.retry_on[1]"] == (
        "unknown kind of error 'timout'; did you mean 'timeout'? "
        "A satellite's own kind is declared with @satellite(…, kinds=[…]), or begins with 'x-'."
    )


def test_kinds_are_not_judged_by_a_type_that_is_unknown(client: FlaskClient) -> None:
    unknown = satellite("a", uses="satellite/test/unknown", retry_policy={"retry_on": ["its_own"]})
    assert faults(client, cluster(unknown)).keys() == {"satellites[0].uses"}


def test_misspelled_kind_is_named_beside_a_type_that_is_unknown(client: FlaskClient) -> None:
    policy = {"retry_on": ["api_error", "timout", "timeout"]}
    unknown = satellite("a", uses="satellite/test/unknown", retry_policy=policy)
    of_cluster = {"retry_on": ["newtork_error", "rate_limitd", "its_own"]}
    found = faults(client, cluster(unknown, satellite("b", uses=LIMITED), retry_policy=of_cluster))
    assert found.keys() == {
        "retry_policy.retry_on[0]",
        "retry_policy.retry_on[1]",
        "satellites[0].retry_policy.retry_on[1]",
        "satellites[0].uses",
    }
    assert "did you mean 'rate_limited'?" in found["retry_policy.retry_on[1]"]
    assert "did you mean 'timeout'?" in found["satellites[0].retry_policy.retry_on[1]"]


@pytest.mark.parametrize(
    ("of_cluster", "of_satellite", "path", "message"),
    [
        ({"base_delay": 5, "max_delay": 2}, {}, "retry_policy.max_delay",
         "max_delay, 2 s (of the cluster), is below base_delay, 5 s (of the cluster)"),
        ({"base_delay": 400}, {}, "retry_policy.base_delay",
         "max_delay, 300 s (the default), is below base_delay, 400 s (of the cluster)"),
        ({"max_delay": 2}, {"base_delay": 3}, "satellites[1].retry_policy.base_delay",
         "max_delay, 2 s (of the cluster), is below base_delay, 3 s"),
        ({"base_delay": 3}, {"max_delay": 2}, "satellites[1].retry_policy.max_delay",
         "max_delay, 2 s, is below base_delay, 3 s (of the cluster)"),
        ({}, {"max_delay": 1}, "satellites[1].retry_policy.max_delay",
         "max_delay, 1 s, is below base_delay, 5 s (the default)"),
    ],
)  # fmt: skip
def test_delays_that_contradict_each_other_are_named_where_they_do(
    client: FlaskClient, of_cluster: dict[str, Any], of_satellite: dict[str, Any], path: str, message: str
) -> None:
    sound = {"retry_policy": {"base_delay": 1, "max_delay": 1}}
    satellites = [satellite("a", **(sound if of_satellite else {})), satellite("b", retry_policy=of_satellite)]
    assert faults(client, cluster(*satellites, retry_policy=of_cluster)) == {path: message}


def test_policies_and_queues_are_checked_beside_faults_of_the_shape(client: FlaskClient) -> None:
    policy = {"base_delay": 5, "max_delay": 2, "retry_on": ["timout"]}
    found = faults(client, cluster(satellite("a", retry_policy=policy, queue="nobody"), sla="7h"))
    assert found.keys() == {
        "sla",
        "satellites[0].queue",
        "satellites[0].retry_policy.max_delay",
        "satellites[0].retry_policy.retry_on[0]",
    }


def test_default_delay_above_the_usual_maximum_is_no_fault_of_a_cluster(
    make_client: Callable[..., FlaskClient],
) -> None:
    assert make_client(retry_delay_s=600).post("/executions", json=cluster()).status_code == 201


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


def test_use_that_lacks_an_optional_package_is_refused_with_what_to_install(
    client: FlaskClient, engine: Engine
) -> None:
    reader, gone = "satellite/test/reader", "satellite/test/gone"
    missing = Unavailable("install the extra fast", {"engine": "fast"})
    types = [
        SatelliteType(reader, "satellites", unavailable=(missing,)),
        SatelliteType(gone, "satellites", unavailable=(Unavailable("install gone"),)),
    ]
    register_types(engine, types)
    satellites = [
        satellite("fine", uses=reader, config={"engine": "slow"}),
        satellite("fast", uses=reader, config={"engine": "fast"}),
        satellite("gone", uses=gone),
    ]
    assert faults(client, cluster(*satellites)) == {
        "satellites[1].config.engine": "install the extra fast",
        "satellites[2].uses": "install gone",
    }
    register_types(engine, [SatelliteType(reader, "satellites"), SatelliteType(gone, "satellites")])
    until(lambda: client.post("/executions", json=cluster(*satellites)).status_code == 201)
