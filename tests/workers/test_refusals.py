"""A statement that PostgreSQL refuses fails its own work alone: the worker continues, and no outcome is lost."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.system import System, fresh_system
from tests.waiting import until
from tests.workers.refusing import ANY_OUTCOME, CLAIM, COMPLETED, refusing

if TYPE_CHECKING:
    from collections.abc import Iterator

ECHO = "satellite/exospherehost/echo"
REFUSALS = ["54000", "53200", "53100", "22P05", "23514", "42703", "57014", "XX000", "P0001"]
OUTAGES = ["40001", "40P01", "53300", "57P01", "57P03", "08006"]


@pytest.fixture(scope="module")
def system(postgres: str, template: str) -> Iterator[System]:
    """Yield a system with one child, and nothing that repairs."""
    with fresh_system(postgres, template, MAX_INPUT_BYTES="10000") as system:
        system.start_worker("-c", "1")
        system.start_api()
        yield system


def with_victim(uses: str = ECHO, **fields: Any) -> list[dict[str, Any]]:
    """Return a cluster of which one of three in a row is refused, and is likely to be in a batch with others."""
    return [
        {"name": "before", "uses": ECHO},
        {"name": "victim", "uses": uses, "dependencies": ["before"], "retries": 0, **fields},
        {"name": "beside", "uses": ECHO, "dependencies": ["before"]},
    ]


def assert_worker_goes_on(system: System) -> None:
    assert system.wait(system.submit({"name": "other", "uses": ECHO}), within_s=10)["status"] == "completed"


@pytest.mark.parametrize("sqlstate", REFUSALS)
def test_refused_claim_ends_its_message_alone(system: System, sqlstate: str) -> None:
    with refusing(system.engine, sqlstate, CLAIM):
        execution_id = system.submit(*with_victim())
        assert_worker_goes_on(system)
        until(lambda: system.statuses(execution_id)["beside"] == "completed")
        assert system.statuses(execution_id)["victim"] == "pending"
    system.call("DELETE", f"/executions/{execution_id}")


@pytest.mark.parametrize("sqlstate", REFUSALS)
def test_refused_outcome_is_recorded_as_a_configuration_error(system: System, sqlstate: str) -> None:
    with refusing(system.engine, sqlstate, COMPLETED):
        execution = system.wait(system.submit(*with_victim()), within_s=10)
    victim = system.satellite(execution["execution_id"], "victim")
    assert system.statuses(execution["execution_id"]) == {
        "before": "completed",
        "victim": "failed",
        "beside": "completed",
    }
    assert victim["error_kind"] == "configuration_error"
    assert victim["error"].endswith(f"the database refused the outcome: as injected (SQLSTATE {sqlstate})")


def test_outcome_that_is_refused_in_every_form_holds_nobody(system: System) -> None:
    with refusing(system.engine, "XX000", ANY_OUTCOME):
        execution_id = system.submit(*with_victim())
        assert_worker_goes_on(system)
        until(lambda: system.statuses(execution_id)["beside"] == "completed")
        assert system.statuses(execution_id)["victim"] == "running"
    system.call("DELETE", f"/executions/{execution_id}")


@pytest.mark.parametrize("sqlstate", OUTAGES)
@pytest.mark.parametrize("moved", [CLAIM, COMPLETED], ids=["claim", "settle"])
def test_outage_is_waited_for_and_costs_no_attempt(system: System, moved: str, sqlstate: str) -> None:
    with refusing(system.engine, sqlstate, moved, times=2):
        execution = system.wait(system.submit(*with_victim()), within_s=10)
    assert execution["status"] == "completed"
    assert system.satellite(execution["execution_id"], "victim")["retries"] == 0


def test_join_of_more_than_a_satellite_may_be_given_fails_and_holds_nobody(system: System) -> None:
    parts = [f"part-{at}" for at in range(20)]
    execution_id = system.submit(
        *({"name": part, "uses": ECHO, "config": {"text": "x" * 1000}} for part in parts),
        {"name": "join", "uses": ECHO, "dependencies": parts},
    )
    assert_worker_goes_on(system)
    assert system.wait(execution_id, within_s=10)["status"] == "failed"
    join = system.satellite(execution_id, "join")
    assert join["error_kind"] == "configuration_error"
    assert "MAX_INPUT_BYTES" in join["error"]
