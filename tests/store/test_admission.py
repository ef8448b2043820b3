"""Admission: the limit of running executions and their order; and submissions that are sent twice."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
from uuid_utils.compat import uuid4

from state_manager.errors import KeyReused
from state_manager.store import executions
from state_manager.store.satellite_types import SatelliteType
from state_manager.submission import Defaults
from state_manager.submission import submit as submit_cluster
from tests.factories import NOTHING, chain, front, satellites, submit
from tests.store.attempts import claim, complete, completed, execution, fail, settle
from tests.store.invariants import assert_admission_is_right, assert_sound

if TYPE_CHECKING:
    from uuid import UUID

    from sqlalchemy import Engine

from state_manager.cluster import Cluster


def test_executions_beyond_the_limit_wait(engine: Engine) -> None:
    submitted = [submit(engine, front(1), max_concurrent=2) for _ in range(4)]
    assert [execution(engine, one)["status"] for one in submitted] == ["running", "running", "pending", "pending"]
    assert_admission_is_right(engine)


def test_settle_that_ends_one_admits_the_one_that_waited_longest(engine: Engine) -> None:
    first, second, third = (submit(engine, front(1), max_concurrent=1) for _ in range(3))
    assert complete(engine, first, "s0", max_concurrent=1).admitted == (second.execution_id,)
    assert complete(engine, second, "s0", max_concurrent=1).admitted == (third.execution_id,)
    assert complete(engine, third, "s0", max_concurrent=1).admitted == ()
    for one in (first, second, third):
        assert_sound(engine, one.execution_id)
    assert_admission_is_right(engine)


def test_failed_execution_makes_room_too(engine: Engine) -> None:
    first = submit(engine, front(1), max_concurrent=1)
    second = submit(engine, front(1), max_concurrent=1)
    fail(engine, first, "s0")
    assert execution(engine, second)["status"] == "running"
    assert_admission_is_right(engine)


def test_settle_that_ends_nothing_admits_nobody(engine: Engine) -> None:
    first = submit(engine, chain(2), max_concurrent=1)
    submit(engine, front(1), max_concurrent=1)
    assert complete(engine, first, "s0", max_concurrent=1).admitted == ()


def test_raised_limit_lets_in_as_many_as_there_is_room_for(engine: Engine) -> None:
    first, *waiting = [submit(engine, front(1), max_concurrent=1) for _ in range(4)]
    assert complete(engine, first, "s0", max_concurrent=2).admitted == tuple(one.execution_id for one in waiting[:2])
    assert_admission_is_right(engine)


def test_lowered_limit_admits_nobody_until_there_is_room(engine: Engine) -> None:
    running = [submit(engine, front(1), max_concurrent=3) for _ in range(3)]
    waiting = submit(engine, front(1), max_concurrent=1)
    assert complete(engine, running[0], "s0", max_concurrent=1).admitted == ()
    assert complete(engine, running[1], "s0", max_concurrent=1).admitted == ()
    assert complete(engine, running[2], "s0", max_concurrent=1).admitted == (waiting.execution_id,)


def test_same_key_gives_the_same_execution(engine: Engine) -> None:
    first = submit(engine, front(1), key="k")
    again = submit(engine, front(1), key="k")
    assert (first.receipt.created, again.receipt.created) == (True, False)
    assert again.execution_id == first.execution_id
    assert len(executions.find(engine, executions.Filter())) == 1
    assert_admission_is_right(engine)


def test_key_of_another_project_is_another_key(engine: Engine) -> None:
    ours = submit(engine, front(1), key="k", project="ours")
    theirs = submit(engine, front(1), key="k", project="theirs")
    assert theirs.receipt.created
    for project, first in (("ours", ours), ("theirs", theirs)):
        again = submit(engine, front(1), key="k", project=project)
        assert (again.receipt.created, again.execution_id) == (False, first.execution_id)


def test_execution_that_an_older_settle_lets_in_starts_no_sooner_than_it_was_submitted(engine: Engine) -> None:
    first = submit(engine, front(1), max_concurrent=1)
    (attempt,) = claim(engine, first, "s0")
    waiting = submit(engine, front(1), max_concurrent=1)
    before_it = execution(engine, waiting)["created_at"] - timedelta(milliseconds=5)

    assert settle(engine, completed(attempt), max_concurrent=1, now=before_it).admitted == (waiting.execution_id,)

    assert execution(engine, waiting)["started_at"] == execution(engine, waiting)["created_at"]
    assert_sound(engine, waiting.execution_id)


def test_submissions_without_a_key_are_never_the_same(engine: Engine) -> None:
    assert submit(engine, front(1)).execution_id != submit(engine, front(1)).execution_id


def test_key_that_comes_back_with_another_document_is_refused(engine: Engine) -> None:
    cluster = Cluster("test/cluster", satellites(front(1)))

    def submit_document(document: dict[str, object]) -> UUID:
        submitted = submit_cluster(
            engine,
            cluster,
            {NOTHING: SatelliteType(NOTHING, "satellites")},
            document,
            idempotency_key="k",
            max_concurrent=1,
            defaults=Defaults(),
        )
        return submitted.execution_id

    first = submit_document({"a": 1, "b": [2]})
    assert submit_document({"b": [2], "a": 1}) == first
    with pytest.raises(KeyReused, match="'k' was used for another document"):
        submit_document({"a": 2, "b": [2]})


def test_submission_sent_again_after_a_lost_answer_is_new_to_its_caller(engine: Engine) -> None:
    document = {
        "id": str(uuid4()), "project": "test", "cluster_id": "test/cluster", "sla": "24h", "failure_policy": "continue",
        "timeout_s": 60, "definition": {}, "definition_hash": "hash", "idempotency_key": "k",
    }  # fmt: skip
    first, again = (executions.submit(engine, json.dumps(document), "[]", max_concurrent=1) for _ in range(2))
    assert first.created
    assert again == first
    other = executions.submit(engine, json.dumps(document | {"id": str(uuid4())}), "[]", max_concurrent=1)
    assert (other.created, other.execution_id) == (False, first.execution_id)
