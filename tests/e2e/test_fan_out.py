"""Fan-outs and groups, from the document to the output of the parent."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.waiting import until

if TYPE_CHECKING:
    from pathlib import Path

    from tests.system import System

ECHO = "satellite/exospherehost/echo"
LIST = {"name": "list", "uses": ECHO, "config": {"items": [{"v": 10}, {"v": 11}, {"v": 12}]}}
ITEMS = "${{ satellites.list.output.config.items }}"


def echo(name: str, *, after: list[str] | None = None, **fields: Any) -> dict[str, Any]:
    return {"name": name, "uses": ECHO, "dependencies": after or [], **fields}


def children(execution: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {one["name"]: one for one in execution["satellites"] if one["parent"] is not None}


def test_items_found_at_run_time_fan_out_and_are_gathered_in_order(system: System) -> None:
    each = echo("each", after=["list"], for_each=ITEMS, config={"v": "${{ item.v }}", "at": "${{ index }} of 3"})
    last = echo("last", after=["each"], config={"sum": "${{ sum(satellites.each.output[].config.v) }}"})
    execution = system.wait(system.submit(LIST, each, last))
    assert execution["status"] == "completed", execution
    assert [one["config"] for one in execution["results"]["last"]["input"]["each"]] == [
        {"v": 10, "at": "0 of 3"}, {"v": 11, "at": "1 of 3"}, {"v": 12, "at": "2 of 3"},
    ]  # fmt: skip
    assert execution["results"]["last"]["config"] == {"sum": 33}
    (parent,) = [one for one in execution["satellites"] if one["name"] == "each"]
    found = children(execution)
    assert {name: (one["index"], one["parent"]) for name, one in found.items()} == {
        f"each[{at}]": (at, parent["satellite_id"]) for at in range(3)
    }
    assert execution["progress"]["total_satellites"] == 6
    assert execution["progress"]["percent"] == 100


def test_empty_list_gives_an_empty_list(system: System) -> None:
    execution = system.wait(system.submit(echo("each", for_each=[])))
    assert (execution["status"], execution["results"], children(execution)) == ("completed", {"each": []}, {})


def test_group_within_a_fan_out_within_a_group_runs(system: System) -> None:
    inner = {
        "name": "inner",
        "satellites": [
            echo("p", config={"got": "${{ item }}"}),
            echo(
                "q", after=["p"], config={"again": "${{ satellites.p.output.config.got }}", "of": "${{ inputs.all }}"}
            ),
        ],
    }
    middle = {"name": "fan", "for_each": "${{ satellites.numbers.output.config.list }}",
              "satellites": [inner], "dependencies": ["numbers"]}  # fmt: skip
    outer = {"name": "outer", "satellites": [echo("numbers", config={"list": [7, 8]}), middle]}
    execution = system.wait(system.submit(outer, inputs={"all": "x"}))
    assert execution["status"] == "completed", execution
    outputs = [one["inner"]["q"] for one in execution["results"]["outer"]["fan"]]
    assert [one["config"] for one in outputs] == [{"again": 7, "of": "x"}, {"again": 8, "of": "x"}]
    assert [one["input"]["p"]["config"] for one in outputs] == [{"got": 7}, {"got": 8}]
    assert children(execution)["outer/fan[1]/inner/q"]["index"] == 1


def test_inner_names_win_over_outer_ones(system: System) -> None:
    group = {
        "name": "group",
        "dependencies": ["a"],
        "satellites": [
            echo("a", config={"which": "inner"}),
            echo("b", after=["a"], config={"which": "${{ satellites.a.output.config.which }}"}),
        ],
    }
    execution = system.wait(system.submit(echo("a", config={"which": "outer"}), group))
    assert execution["results"]["group"]["b"]["config"] == {"which": "inner"}


def test_parent_fails_when_all_have_ended_and_a_retry_runs_the_failed_ones(system: System, tmp_path: Path) -> None:
    each = {
        "name": "each",
        "uses": "satellite/test/note",
        "for_each": [str(tmp_path / name) for name in "abcde"],
        "config": {"needs": "${{ item }}", "file": str(tmp_path / "notes")},
        "retries": 0,
    }
    (tmp_path / "b").touch()
    (tmp_path / "d").touch()
    execution_id = system.submit(each, echo("last", after=["each"]))
    execution = system.wait(execution_id)
    statuses = system.statuses(execution_id)
    assert [statuses[f"each[{at}]"] for at in range(5)] == ["failed", "completed", "failed", "completed", "failed"]
    assert (statuses["each"], statuses["last"], execution["status"]) == ("failed", "skipped", "failed")
    parent = system.satellite(execution_id, "each")
    assert parent["error_kind"] == "child_failed"
    assert "3 of 5 satellites failed: each[0]: " in parent["error"]

    for name in "ace":
        (tmp_path / name).touch()
    assert system.call("POST", f"/executions/{execution_id}/retry")[0] == 202
    execution = system.wait(execution_id)
    assert execution["status"] == "completed", execution
    attempts = {name: one["attempt"] for name, one in children(execution).items()}
    assert attempts == {"each[0]": 2, "each[1]": 1, "each[2]": 2, "each[3]": 1, "each[4]": 2}


def test_max_parallel_holds_across_workers(system: System, tmp_path: Path) -> None:
    each = {
        "name": "each",
        "uses": "satellite/test/wait",
        "for_each": [str(tmp_path / str(at)) for at in range(4)],
        "config": {"file": "${{ item }}"},
        "max_parallel": 1,
    }
    with system.start_worker():
        execution_id = system.submit(each)
        for at in range(4):
            name = f"each[{at}]"
            until(lambda name=name: system.statuses(execution_id).get(name) == "running", what=f"{name} runs")  # type: ignore[misc]
            running = [one for one, status in system.statuses(execution_id).items() if status == "running"]
            assert running == [name]
            (tmp_path / str(at)).touch()
        assert system.wait(execution_id)["status"] == "completed"


@pytest.mark.parametrize(
    ("condition", "status"),
    [("${{ satellites.list.output.config.items[?v > `11`] }}", "completed"),
     ("${{ satellites.list.output.config.items[?v > `12`] }}", "skipped")],
)  # fmt: skip
def test_if_decides_whether_a_satellite_runs(system: System, condition: str, status: str) -> None:
    checked = echo("checked", after=["list"], **{"if": condition})
    execution_id = system.submit(LIST, checked, echo("behind", after=["checked"]), echo("beside", after=["list"]))
    execution = system.wait(execution_id)
    assert execution["status"] == "completed"
    assert system.statuses(execution_id) == {
        "list": "completed", "checked": status, "behind": status, "beside": "completed",
    }  # fmt: skip
    reasons = {one["name"]: one["reason"] for one in execution["satellites"]}
    assert (reasons["checked"], reasons["behind"]) == ((None, None) if status == "completed" else ("if", "upstream"))


def test_prune_ends_a_branch_quietly(system: System) -> None:
    pruned = {"name": "pruned", "uses": "satellite/test/prune"}
    execution_id = system.submit(pruned, echo("behind", after=["pruned"]), echo("beside"))
    assert system.wait(execution_id)["status"] == "completed"
    assert system.statuses(execution_id) == {"pruned": "skipped", "behind": "skipped", "beside": "completed"}
    assert system.satellite(execution_id, "pruned")["reason"] == "prune"


def test_requeue_after_runs_it_again_without_charging_an_attempt(system: System, tmp_path: Path) -> None:
    polls = {
        "name": "polls",
        "uses": "satellite/test/poll",
        "config": {"file": str(tmp_path / "there"), "every_s": 0.1},
        "retries": 0,
    }
    execution_id = system.submit(polls)

    def requeues() -> int:
        _, events = system.call("GET", f"/executions/{execution_id}/events")
        return sum(event["kind"] == "requeued" for event in events["items"])

    until(lambda: requeues() >= 2, what="it polls")
    (tmp_path / "there").touch()
    execution = system.wait(execution_id)
    assert execution["status"] == "completed", execution
    assert execution["results"] == {"polls": {"attempt": 1}}


def test_values_that_the_schema_refuses_are_a_configuration_error_that_names_the_place(system: System) -> None:
    sleeps = {"name": "sleeps", "uses": "satellite/exospherehost/sleep", "config": {"seconds": "${{ inputs.s }}"}}
    execution_id = system.submit(sleeps, inputs={"s": "soon"})
    assert system.wait(execution_id)["status"] == "failed"
    found = system.satellite(execution_id, "sleeps")
    assert (found["error_kind"], found["attempt"]) == ("configuration_error", 1)
    assert 'config.seconds does not match type: "number"' in found["error"]
    assert "soon" not in found["error"]


@pytest.mark.parametrize(
    ("for_each", "said"),
    [("${{ satellites.list.output.config }}", "for_each takes a list, not dict"),
     ("${{ satellites.list.output.config.items[0].v }}", "for_each takes a list, not int"),
     ("${{ sum(satellites.list.output.config.items) }}", "${{ sum(satellites.list.output.config.items) }}: ")],
)  # fmt: skip
def test_wrong_for_each_is_a_configuration_error_that_shows_the_expression(
    system: System, for_each: str, said: str
) -> None:
    execution_id = system.submit(LIST, echo("each", after=["list"], for_each=for_each))
    assert system.wait(execution_id)["status"] == "failed"
    each = system.satellite(execution_id, "each")
    assert (each["error_kind"], each["attempt"]) == ("configuration_error", 1)
    assert said in each["error"]
