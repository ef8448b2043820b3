"""GET of executions, events, satellites and logs, as they run."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any
from uuid import UUID, uuid4

import pytest

from state_manager.states import SatelliteStatus
from state_manager.store.logs import LogRecord, write_logs
from state_manager.store.transitions import Outcome, claim, settle
from tests.api.conftest import ECHO, cluster, satellite

if TYPE_CHECKING:
    from flask.testing import FlaskClient
    from sqlalchemy import Engine


def submit(client: FlaskClient, document: dict[str, Any]) -> tuple[str, dict[str, str]]:
    shown = client.post("/executions", json=document).get_json()
    return shown["execution_id"], {one["name"]: one["satellite_id"] for one in shown["satellites"]}


def run(engine: Engine, satellite_id: str, output: object = None, error: str | None = None) -> None:
    (claimed,) = claim(
        engine, [UUID(satellite_id)], worker=UUID(int=1), name="w", lease=timedelta(seconds=15), max_input_bytes=2**20
    )
    usage: dict[str, float | None] = {"cpu_time": 0.5, "memory_peak": 1024, "gpu_time": None}
    outcome = (
        Outcome(claimed.id, claimed.claim, SatelliteStatus.COMPLETED, output, 8, duration_ms=1.5, resource_usage=usage)
        if error is None
        else Outcome(
            claimed.id, claimed.claim, SatelliteStatus.FAILED,
            error=error, error_kind="logic_error", traceback="Traceback …",
        )
    )  # fmt: skip
    settle(engine, [outcome], max_concurrent=100)


def test_a_finished_execution_has_progress_times_and_results(client: FlaskClient, engine: Engine) -> None:
    execution_id, ids = submit(client, cluster(satellite("a"), satellite("b", "a"), satellite("c", "a")))
    run(engine, ids["a"], {"x": 1})
    half = client.get(f"/executions/{execution_id}").get_json()
    assert half["progress"]["percent"] == 33.33
    assert half["finished_at"] is None
    assert half["results"] == {}
    run(engine, ids["b"], [2])
    run(engine, ids["c"], None)
    done = client.get(f"/executions/{execution_id}").get_json()
    assert done["status"] == "completed"
    assert done["progress"]["percent"] == 100
    assert done["results"] == {"b": [2], "c": None}
    assert done["output_omitted"] is False
    assert done["satellites"][0]["output"] == {"x": 1}
    times = [datetime.fromisoformat(done[name]) for name in ("created_at", "started_at", "finished_at", "deadline")]
    assert times == sorted(times)
    assert all(at.utcoffset() == timedelta() for at in times)


def test_outputs_are_left_out_past_their_limit(client: FlaskClient, engine: Engine) -> None:
    execution_id, ids = submit(client, cluster(satellite("a")))
    (claimed,) = claim(
        engine, [UUID(ids["a"])], worker=UUID(int=1), name="w", lease=timedelta(seconds=15), max_input_bytes=2**20
    )
    large = Outcome(claimed.id, claimed.claim, SatelliteStatus.COMPLETED, "x" * 1_100_000, 1_100_002)
    settle(engine, [large], max_concurrent=100)
    shown = client.get(f"/executions/{execution_id}").get_json()
    assert shown["output_omitted"] is True
    assert "output" not in shown["satellites"][0]
    assert client.get(f"/satellites/{ids['a']}").get_json()["output"] == "x" * 1_100_000


def test_a_satellite_shows_its_input_output_and_usage(client: FlaskClient, engine: Engine) -> None:
    execution_id, ids = submit(
        client, cluster(satellite("a"), satellite("b"), satellite("c", "a", "b", input={"b": "own"}, config={"k": 1}))
    )
    run(engine, ids["a"], {"x": 1})
    run(engine, ids["b"], "lost")
    run(engine, ids["c"], {"y": 2})
    shown = client.get(f"/satellites/{ids['c']}").get_json()
    assert shown["execution_id"] == execution_id
    assert shown["identifier"] == ECHO
    assert shown["status"] == "completed"
    assert shown["config"] == {"k": 1}
    assert shown["input"] == {"a": {"x": 1}, "b": "own"}
    assert shown["output"] == {"y": 2}
    assert (shown["attempt"], shown["retries"], shown["duration_ms"]) == (1, 0, 1.5)
    assert shown["resource_usage"] == {"cpu_time": 0.5, "memory_peak": 1024, "gpu_time": None}
    assert shown["dependencies"] == [ids["a"], ids["b"]]
    assert shown["queue"] == "satellites"


def test_a_failure_is_shown_with_what_it_cost(client: FlaskClient, engine: Engine) -> None:
    execution_id, ids = submit(client, cluster(satellite("a"), satellite("b", "a")))
    run(engine, ids["a"], error="boom")
    shown = client.get(f"/satellites/{ids['a']}").get_json()
    assert (shown["status"], shown["error"], shown["error_kind"]) == ("failed", "boom", "logic_error")
    assert shown["traceback"] == "Traceback …"
    whole = client.get(f"/executions/{execution_id}").get_json()
    assert whole["status"] == "failed"
    assert whole["satellites"][1]["status"] == "skipped"
    assert whole["satellites"][1]["reason"] == "upstream"
    assert whole["progress"]["skipped_satellites"] == 1


def test_events_come_in_order_and_in_pages(client: FlaskClient, engine: Engine) -> None:
    execution_id, ids = submit(client, cluster(satellite("a")))
    run(engine, ids["a"], 1)
    whole = client.get(f"/executions/{execution_id}/events").get_json()
    assert whole["next_after"] is None
    kinds = [(one["seq"], one["kind"], one["name"]) for one in whole["items"]]
    assert kinds == [
        (1, "submitted", None), (2, "started", None), (3, "started", "a"), (4, "completed", "a"),
        (5, "completed", None),
    ]  # fmt: skip
    assert whole["items"][2].keys() == {
        "seq", "execution_id", "satellite_id", "name", "kind", "status", "at", "data",
    }  # fmt: skip
    page = client.get(f"/executions/{execution_id}/events?after=1&limit=2").get_json()
    assert [one["seq"] for one in page["items"]] == [2, 3]
    assert page["next_after"] == 3
    rest = client.get(f"/executions/{execution_id}/events?after=3&limit=2").get_json()
    assert rest["next_after"] is None
    assert client.get(f"/executions/{execution_id}/events?after=99").get_json()["items"] == []


def test_logs_come_in_order_and_in_pages(client: FlaskClient, engine: Engine) -> None:
    _, ids = submit(client, cluster(satellite("a")))
    path = f"/satellites/{ids['a']}/logs"
    assert client.get(path).get_json() == {"items": [], "next_cursor": None}
    at = datetime(2026, 1, 2, tzinfo=UTC)
    write_logs(engine, [LogRecord(UUID(ids["a"]), 1, at, "info", f"line {n}") for n in range(3)])
    first = client.get(f"{path}?limit=2").get_json()
    assert first["items"][0] == {"at": "2026-01-02T00:00:00Z", "attempt": 1, "level": "info", "message": "line 0"}
    rest = client.get(f"{path}?limit=2&cursor={first['next_cursor']}").get_json()
    assert [one["message"] for one in rest["items"]] == ["line 2"]
    assert rest["next_cursor"] is None


def test_executions_are_listed_newest_first_in_pages(client: FlaskClient) -> None:
    ids = [submit(client, cluster())[0] for _ in range(5)]
    seen, cursor = [], ""
    while True:
        page = client.get(f"/executions?limit=2{cursor}").get_json()
        seen += [one["execution_id"] for one in page["items"]]
        if page["next_cursor"] is None:
            break
        cursor = f"&cursor={page['next_cursor']}"
    assert seen == ids[::-1]


def test_executions_are_filtered(client: FlaskClient, engine: Engine) -> None:
    first, ids = submit(client, cluster(identifier="p/one"))
    run(engine, ids["one"])
    second, _ = submit(client, cluster(identifier="p/two"))
    third, _ = submit(client, cluster(identifier="q/one"))

    def found(**query: str) -> list[str]:
        response = client.get("/executions", query_string=query)
        assert response.status_code == 200, response.json
        return [one["execution_id"] for one in response.get_json()["items"]]

    assert found(project="p") == [second, first]
    assert found(cluster_id="q/one") == [third]
    assert found(status="completed") == [first]
    assert found(status="running", project="p") == [second]
    assert found(project="nobody") == []
    at = client.get(f"/executions/{second}").get_json()["created_at"]
    assert found(created_after=at) == [third, second]
    assert found(created_before=at) == [first]
    assert found(created_before=at.removesuffix("Z")) == [first]
    assert found(created_after="9999-12-31T23:59:59-14:00") == []
    assert found(created_after="0001-01-01T00:00:00+14:00") == [third, second, first]


@pytest.mark.parametrize(("query", "name"), [
    ("limit=0", "limit"), ("limit=201", "limit"), ("limit=x", "limit"), ("limit=1.5", "limit"), ("limit=", "limit"),
    ("cursor=x", "cursor"), ("status=done", "status"), ("created_after=yesterday", "created_after"),
    ("created_before=1", "created_before"), ("stauts=failed", "stauts"), ("project=%00", "project"),
    ("cluster_id=a%00b", "cluster_id"), ("limit=" + "9" * 5000, "limit"),
])  # fmt: skip
def test_a_bad_query_is_422_and_names_the_parameter(client: FlaskClient, query: str, name: str) -> None:
    response = client.get(f"/executions?{query}")
    assert response.status_code == 422
    assert [fault["path"] for fault in response.get_json()["errors"]] == [name]


def test_bad_queries_of_events_and_logs_are_422(client: FlaskClient) -> None:
    execution_id, ids = submit(client, cluster())
    for path in (f"/executions/{execution_id}/events?after=-1", f"/executions/{execution_id}/events?after=" + "9" * 30,
                 f"/satellites/{ids['one']}/logs?cursor=x", f"/satellites/{ids['one']}/logs?after=1"):  # fmt: skip
        assert client.get(path).status_code == 422


@pytest.mark.parametrize("path", ["/executions/{}", "/executions/{}/events", "/satellites/{}", "/satellites/{}/logs"])
def test_what_is_not_there_is_404(client: FlaskClient, path: str) -> None:
    for wrong in (str(uuid4()), "1", "x" * 36, "00000000-0000-0000-0000-00000000000g", "%00"):
        response = client.get(path.format(wrong))
        assert response.status_code == 404
        assert response.get_json().keys() == {"code", "status", "message", "errors"}


def test_full_last_page_has_no_next(client: FlaskClient, engine: Engine) -> None:
    ids = [submit(client, cluster())[0] for _ in range(4)]
    first = client.get("/executions?limit=2").get_json()
    last = client.get(f"/executions?limit=2&cursor={first['next_cursor']}").get_json()
    assert [one["execution_id"] for one in last["items"]] == ids[1::-1]
    assert last["next_cursor"] is None
    events = client.get(f"/executions/{ids[0]}/events?limit=2").get_json()
    assert (len(events["items"]), events["next_after"]) == (2, None)
    _, satellites = submit(client, cluster(satellite("a")))
    at = datetime(2026, 1, 2, tzinfo=UTC)
    write_logs(engine, [LogRecord(UUID(satellites["a"]), 1, at, "info", f"line {n}") for n in range(2)])
    logs = client.get(f"/satellites/{satellites['a']}/logs?limit=2").get_json()
    assert (len(logs["items"]), logs["next_cursor"]) == (2, None)


def test_percentage_counts_whatever_has_ended(client: FlaskClient, engine: Engine) -> None:
    execution_id, ids = submit(
        client, cluster(satellite("a"), satellite("b", "a"), satellite("c"), satellite("d", "c"))
    )
    run(engine, ids["a"], error="boom")
    assert client.get(f"/executions/{execution_id}").get_json()["progress"]["percent"] == 50
    cancelled = client.delete(f"/executions/{execution_id}").get_json()
    assert cancelled["progress"]["percent"] == 100
