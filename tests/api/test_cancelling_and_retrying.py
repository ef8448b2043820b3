"""DELETE of an execution, and POST of a retry: what each may be asked of, and how often."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any
from uuid import UUID

import pytest

from state_manager.states import SatelliteStatus
from state_manager.store.transitions import Outcome, claim, settle
from tests.api.conftest import cluster, satellite

if TYPE_CHECKING:
    from flask.testing import FlaskClient
    from sqlalchemy import Engine


def submit(client: FlaskClient) -> dict[str, Any]:
    shown: dict[str, Any] = client.post("/executions", json=cluster(satellite("a"))).get_json()
    return shown


def end(engine: Engine, execution: dict[str, Any], status: SatelliteStatus) -> None:
    """Run the execution's satellite to this end."""
    ids = [UUID(execution["satellites"][0]["satellite_id"])]
    (attempt,) = claim(engine, ids, worker=UUID(int=1), name="w", lease=timedelta(seconds=15), max_input_bytes=1000)
    error = None if status is SatelliteStatus.COMPLETED else "boom"
    outcome = Outcome(attempt.id, attempt.claim, status, error=error, error_kind=error and "logic_error")
    settle(engine, [outcome], max_concurrent=100)


def test_cancel_is_answered_the_same_again(client: FlaskClient) -> None:
    path = f"/executions/{submit(client)['execution_id']}"
    first, again = client.delete(path), client.delete(path)
    assert (first.status_code, first.get_json()["status"]) == (202, "cancelled")
    assert (again.status_code, again.get_json()) == (202, first.get_json())


@pytest.mark.parametrize("status", [SatelliteStatus.COMPLETED, SatelliteStatus.FAILED])
def test_what_has_ended_by_itself_is_not_cancelled(
    client: FlaskClient, engine: Engine, status: SatelliteStatus
) -> None:
    execution = submit(client)
    end(engine, execution, status)
    answer = client.delete(f"/executions/{execution['execution_id']}")
    assert (answer.status_code, answer.get_json()["code"]) == (409, 409)
    assert client.get(f"/executions/{execution['execution_id']}").get_json()["status"] == status


def test_failed_execution_is_retried_once(client: FlaskClient, engine: Engine) -> None:
    execution = submit(client)
    end(engine, execution, SatelliteStatus.FAILED)
    path = f"/executions/{execution['execution_id']}/retry"
    first, again = client.post(path), client.post(path)
    assert (first.status_code, first.get_json()["status"]) == (202, "running")
    assert again.status_code == 409


def test_what_did_not_fail_is_not_retried(client: FlaskClient, engine: Engine) -> None:
    running, completed, cancelled = (submit(client) for _ in range(3))
    end(engine, completed, SatelliteStatus.COMPLETED)
    client.delete(f"/executions/{cancelled['execution_id']}")
    for one in (running, completed, cancelled):
        assert client.post(f"/executions/{one['execution_id']}/retry").status_code == 409
        satellite_id = one["satellites"][0]["satellite_id"]
        assert client.post(f"/satellites/{satellite_id}/retry").status_code == 409
