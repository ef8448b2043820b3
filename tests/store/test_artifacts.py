"""The rows of artifacts: whose they are, and what replaces what."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING
from uuid import UUID, uuid4

import pytest
from sqlalchemy import delete, select
from uuid_utils.compat import uuid7

from state_manager.errors import LateOutcome
from state_manager.store import artifacts
from state_manager.store.artifacts import NewArtifact
from state_manager.store.data_tables import artifacts as table
from state_manager.store.tables import executions
from tests.factories import front, submit
from tests.store.attempts import claim, failed_for_now, settle, take_away
from tests.store.rivals import rival_to

if TYPE_CHECKING:
    from sqlalchemy import Engine

    from state_manager.store.transitions import Claimed


def new(name: str = "report", **fields: object) -> NewArtifact:
    given = {"media_type": "text/plain", "size": 3, "sha256": "abc", "location": "file://here/artifacts"}
    return NewArtifact(**{"id": uuid7(), "name": name, **given, **fields})  # type: ignore[arg-type]


def attempts(engine: Engine, number: int = 1, **fields: object) -> list[Claimed]:
    submitted = submit(engine, front(number), **fields)  # type: ignore[arg-type]
    return claim(engine, submitted, *front(number))


def listed(engine: Engine, execution_id: UUID) -> list[tuple[str, str, int]]:
    found = artifacts.find(engine, execution_id, after=None, limit=100)
    assert found is not None
    return [(one.satellite, one.name, one.attempt) for one in found]


def test_artifact_is_read_with_where_it_comes_from(engine: Engine) -> None:
    (one,) = attempts(engine)
    artifact = new(size=5 * 2**40)
    assert artifacts.put(engine, one, artifact) is None
    found = artifacts.get(engine, artifact.id)
    assert found is not None
    assert (found.execution_id, found.satellite_id, found.satellite, found.attempt) == (
        one.execution_id,
        one.id,
        "s0",
        1,
    )
    assert {name: getattr(found, name) for name in ("name", "media_type", "size", "sha256", "location")} == {
        "name": "report", "media_type": "text/plain", "size": 5 * 2**40, "sha256": "abc",
        "location": "file://here/artifacts",
    }  # fmt: skip


def test_later_attempt_replaces_the_artifact_of_its_name(engine: Engine) -> None:
    submitted = submit(engine, front(1), max_attempts=2)
    (first,) = claim(engine, submitted, "s0")
    before, other = new(), new("other")
    artifacts.put(engine, first, before)
    artifacts.put(engine, first, other)
    settle(engine, failed_for_now(first, 0))
    (second,) = claim(engine, submitted, "s0")
    assert artifacts.put(engine, second, new()) == before.id
    assert listed(engine, submitted.execution_id) == [("s0", "other", 1), ("s0", "report", 2)]
    assert artifacts.get(engine, before.id) is None


def test_satellites_have_names_of_their_own(engine: Engine) -> None:
    one, another = attempts(engine, 2)
    artifacts.put(engine, one, new())
    assert artifacts.put(engine, another, new()) is None
    assert listed(engine, one.execution_id) == [("s0", "report", 1), ("s1", "report", 1)]


def test_row_that_is_sent_again_is_kept_once(engine: Engine) -> None:
    (one,) = attempts(engine)
    first, second = new(), new()
    artifacts.put(engine, one, first)
    assert [artifacts.put(engine, one, second) for _ in range(2)] == [first.id, None]
    assert listed(engine, one.execution_id) == [("s0", "report", 1)]


def test_attempt_that_was_taken_away_keeps_nothing(engine: Engine) -> None:
    (one,) = attempts(engine)
    artifacts.put(engine, one, new("before"))
    with pytest.raises(LateOutcome):
        artifacts.put(engine, replace(one, claim=uuid4()), new())
    take_away(engine, one.id)
    with pytest.raises(LateOutcome):
        artifacts.put(engine, one, new("before"))
    assert listed(engine, one.execution_id) == [("s0", "before", 1)]


def test_two_of_one_name_at_the_same_time_follow_each_other(engine: Engine) -> None:
    (one,) = attempts(engine)
    first, second = new(), new()
    with rival_to(engine) as (earlier, rival):
        artifacts.put(earlier, one, first)
        later = rival.waits(artifacts.put, one, second)
    assert later.result() == first.id
    assert listed(engine, one.execution_id) == [("s0", "report", 1)]


def test_artifacts_are_read_within_a_project(engine: Engine) -> None:
    (one,), (same,), (stranger,) = attempts(engine), attempts(engine), attempts(engine, project="other")
    artifact = new()
    artifacts.put(engine, one, artifact)
    for execution_id in (one.execution_id, same.execution_id):
        assert artifacts.get_of_same_project(engine, artifact.id, execution_id) is not None
    assert artifacts.get_of_same_project(engine, artifact.id, stranger.execution_id) is None


def test_pages_are_in_the_order_of_their_making(engine: Engine) -> None:
    (one,) = attempts(engine)
    kept = [new(f"a{at}") for at in range(5)]
    for artifact in kept:
        artifacts.put(engine, one, artifact)
    page = artifacts.find(engine, one.execution_id, after=kept[1].id, limit=2)
    assert page is not None
    assert [artifact.name for artifact in page] == ["a2", "a3"]


def test_execution_without_artifacts_is_told_from_none(engine: Engine) -> None:
    (one,) = attempts(engine)
    assert artifacts.find(engine, one.execution_id, after=None, limit=1) == []
    assert artifacts.find(engine, uuid4(), after=None, limit=1) is None


def test_rows_go_with_their_execution(engine: Engine) -> None:
    (one,) = attempts(engine)
    artifacts.put(engine, one, new())
    with engine.connect() as connection:
        connection.execute(delete(executions).where(executions.c.id == one.execution_id))
        assert connection.execute(select(table)).all() == []
