"""The invariants of an execution's rows and events, which hold between any two transitions."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from datetime import datetime
from typing import TYPE_CHECKING, Any

from sqlalchemy import select

from state_manager.states import EXECUTION_MOVES, FINISHED, SATELLITE_MOVES, TERMINAL, RunWhen
from state_manager.states import ExecutionStatus as E
from state_manager.states import SatelliteStatus as S
from state_manager.store.tables import admission, events, executions, satellites

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from uuid import UUID

    from sqlalchemy import Engine, RowMapping


def assert_sound(engine: Engine, execution_id: UUID) -> None:
    """Hold an execution's rows and events against each other, all as of one moment."""
    with engine.connect().execution_options(isolation_level="REPEATABLE READ") as connection:
        execution = connection.execute(select(executions).where(executions.c.id == execution_id)).mappings().one()
        rows = connection.execute(select(satellites).where(satellites.c.execution_id == execution_id)).mappings().all()
        log = (
            connection.execute(select(events).where(events.c.execution_id == execution_id).order_by(events.c.seq))
            .mappings()
            .all()
        )
    by_id = {row["id"]: row for row in rows}
    _assert_joins_are_right(by_id)
    _assert_fan_outs_are_right(rows)
    _assert_what_is_ready_is_queued(execution, rows)
    _assert_outcomes_fit(by_id)
    _assert_counts_are_right(execution, rows)
    _assert_log_tells_it_all(execution, by_id, log)


def assert_admission_is_right(engine: Engine) -> None:
    """Hold the counter of running executions against the executions."""
    with engine.connect().execution_options(isolation_level="REPEATABLE READ") as connection:
        counted = connection.execute(select(admission.c.running)).scalar_one()
        running = connection.execute(select(executions.c.id).where(executions.c.status == E.RUNNING)).all()
    assert counted == len(running)


def _is_satisfied(dependency: Mapping[Any, Any], run_when: RunWhen) -> bool:
    if run_when == RunWhen.ALL_DONE:
        return dependency["status"] in TERMINAL
    return bool(dependency["status"] == S.COMPLETED)


def _assert_joins_are_right(rows: Mapping[UUID, RowMapping]) -> None:
    children: dict[UUID, list[RowMapping]] = defaultdict(list)
    for row in rows.values():
        children[row["parent"]].append(row)
    for row in rows.values():
        needs, own = [rows[one] for one in row["dependencies"]], children[row["id"]]
        unmet = [one["name"] for one in needs if not _is_satisfied(one, row["run_when"])]
        unmet += [one["name"] for one in own if one["status"] not in TERMINAL]
        assert row["unmet"] == len(unmet), f"{row['name']} says {row['unmet']}, and waits for {unmet}"
        item_bytes = 0 if row["parent"] is None else len(json.dumps(row["item"]))
        read = sum(one["output_bytes"] for one in [*needs, *own] if one["status"] == S.COMPLETED)
        assert row["input_bytes"] == read + item_bytes
        assert set(row["dependents"]) == {one["id"] for one in rows.values() if row["id"] in one["dependencies"]}


def _assert_fan_outs_are_right(rows: Sequence[RowMapping]) -> None:
    """Hold the children of each parent against it; with `max_parallel`, as many items are open as it says."""
    for parent in rows:
        children = [row for row in rows if row["parent"] == parent["id"]]
        assert parent["children"] == len(children), f"{parent['name']} says {parent['children']}"
        if parent["status"] == S.COMPLETED:
            assert all(one["status"] in {S.COMPLETED, S.SKIPPED} for one in children), f"{parent['name']} completed"
        limit = (parent["dynamic"] or {}).get("max_parallel")
        unended = [one for one in children if one["status"] not in TERMINAL]
        assert all((one["held"] is not None) == (limit is not None and one in unended) for one in children)
        if limit is not None:
            open_items = {one["index"] for one in unended if not one["held"]}
            held = [one for one in unended if one["held"]]
            assert not any(one["index"] in open_items for one in held)
            assert len(open_items) <= limit, f"{parent['name']} has {open_items} open, of {limit} allowed"
            assert not held or len(open_items) == limit, f"{parent['name']} holds items that may start"


def _assert_what_is_ready_is_queued(execution: RowMapping, rows: Sequence[RowMapping]) -> None:
    for row in rows:
        waits = row["status"] == S.PENDING and row["unmet"] == 0 and row["not_before"] is None and not row["held"]
        ready = waits and execution["status"] == E.RUNNING
        assert (row["queued_at"] is not None) == ready, f"{row['name']} is {'' if ready else 'not '}ready"


def _assert_outcomes_fit(rows: Mapping[UUID, RowMapping]) -> None:
    for row in rows.values():
        lost = [rows[one]["name"] for one in row["dependencies"] if rows[one]["status"] in TERMINAL - {S.COMPLETED}]
        if row["reason"] == "upstream":
            assert lost, f"{row['name']} was skipped, though nothing that it depends on was lost"
        elif lost and row["run_when"] == RunWhen.ALL_SUCCESS:
            assert row["status"] in TERMINAL - {S.COMPLETED, S.FAILED}, f"{row['name']} can't run: {lost} did not"
        if row["status"] in {S.RUNNING, S.COMPLETED, S.FAILED}:
            assert row["attempt"] >= 1
            assert row["claim"] is not None or row["status"] == S.FAILED, "only a lost attempt has no token any more"


def _assert_counts_are_right(execution: RowMapping, rows: Sequence[RowMapping]) -> None:
    count = Counter(row["status"] for row in rows)
    assert execution["total"] == len(rows)
    for status in TERMINAL:
        assert execution[status] == count[status], f"{execution[status]} {status}, but there are {count[status]}"
    if execution["status"] == E.PENDING:
        assert execution["started_at"] is None
        assert count[S.PENDING] == len(rows)
    elif execution["status"] == E.RUNNING:
        assert count[S.PENDING] + count[S.RUNNING] > 0, "nothing is left to do, but the execution has no end"
    else:
        assert count[S.PENDING] + count[S.RUNNING] == 0
        assert execution["finished_at"] >= max(row["end_time"] for row in rows)
    if execution["status"] in {E.COMPLETED, E.FAILED}:
        has_failed = count[S.FAILED] > 0 or execution["error"] is not None
        assert (execution["status"] == E.FAILED) == has_failed


def _assert_log_tells_it_all(execution: RowMapping, rows: Mapping[UUID, RowMapping], log: Sequence[RowMapping]) -> None:
    """Replay the events, each a move that there is, to the very rows that are there."""
    assert [event["seq"] for event in log] == list(range(1, execution["seq"] + 1))
    assert (log[0]["kind"], log[0]["status"]) == ("submitted", E.PENDING)
    told: dict[UUID, dict[str, Any]] = {
        one: {"status": S.PENDING, "attempt": 0, "start_time": None, "end_time": None, "reason": None, "children": 0}
        for one in rows
    }
    state: dict[str, Any] = {"status": E.PENDING, "started_at": None, "finished_at": None, "error": None}
    last = log[0]["at"]
    for event in log[1:]:
        assert event["at"] >= last, f"event {event['seq']} is older than the one before"
        last = event["at"]
        if event["satellite_id"] is None:
            _replay_of_execution(state, event)
        else:
            may_be = state["status"] == E.RUNNING or (state["status"], event["status"]) == (E.PENDING, S.CANCELLED)
            assert may_be, f"event {event['seq']} came while the execution did not run"
            _assert_nothing_outruns_its_dependencies(rows, told, event)
            _replay(told[event["satellite_id"]], event)
    assert state == {name: execution[name] for name in state}
    for one, row in rows.items():
        wrong = {name: (value, row[name]) for name, value in told[one].items() if value != row[name]}
        assert not wrong, f"the events tell another {row['name']}: {wrong}"


def _replay_of_execution(told: dict[str, Any], event: RowMapping) -> None:
    status = E(event["status"])
    if event["kind"] == "signalled":
        assert status == told["status"]
        return
    if (event["kind"], told["status"]) != ("retried", E.RUNNING):
        assert status in EXECUTION_MOVES[told["status"]], f"{told['status']} > {status}"
    told["status"] = status
    told["started_at"] = event["at"] if event["kind"] == "started" else told["started_at"]
    told["finished_at"] = event["at"] if status in FINISHED else None
    told["error"] = (event["data"] or {}).get("error")


def _assert_nothing_outruns_its_dependencies(
    rows: Mapping[UUID, RowMapping], told: Mapping[UUID, dict[str, Any]], event: RowMapping
) -> None:
    """Check that a satellite starts only when its dependencies are satisfied; a retry may put one back later."""
    if event["status"] == S.RUNNING:
        row = rows[event["satellite_id"]]
        if told[row["id"]]["children"]:
            unended = [one["name"] for one in rows.values() if one["parent"] == row["id"]
                       and told[one["id"]]["status"] not in TERMINAL]  # fmt: skip
            assert not unended, f"event {event['seq']}: {row['name']} gathers before {unended} have ended"
        unmet = [rows[one]["name"] for one in row["dependencies"] if not _is_satisfied(told[one], row["run_when"])]
        assert not unmet, f"event {event['seq']}: {row['name']} started before {unmet} had ended"


def _replay(told: dict[str, Any], event: RowMapping) -> None:
    status, data = S(event["status"]), event["data"] or {}
    assert status in SATELLITE_MOVES[told["status"]], f"event {event['seq']}: {told['status']} > {status}"
    told["status"] = status
    told["end_time"] = event["at"] if status in TERMINAL else None
    told["reason"] = data.get("reason") if status == S.SKIPPED else None
    if data.get("start_time"):
        told["start_time"] = datetime.fromisoformat(data["start_time"])
    if data.get("end_time"):
        assert datetime.fromisoformat(data["end_time"]) <= event["at"]
        told["end_time"] = datetime.fromisoformat(data["end_time"])
    if event["kind"] == "retried":
        told["start_time"] = None
    if event["kind"] == "expanded":
        told |= {"attempt": told["attempt"] - 1, "children": data["children"]}
    elif event["kind"] == "requeued":
        told |= {"attempt": told["attempt"] - 1, "start_time": told["start_time"] if told["children"] else None}
    elif event["kind"] == "released":
        told |= {"attempt": told["attempt"] - 1, "start_time": None}
    elif status == S.RUNNING:
        assert data["attempt"] == told["attempt"] + 1
        began = told["start_time"] if told["children"] else None
        told |= {"attempt": data["attempt"], "start_time": began or event["at"]}
    elif status in {S.COMPLETED, S.FAILED} or event["kind"] == "retrying":
        assert data["attempt"] == told["attempt"], "an outcome of an attempt that is not the last"
