"""Celery's own questions about a satellite are answered from its row."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from celery import states
from uuid_utils.compat import uuid4

from tests import factories
from tests.store.attempts import claim, completed, execution, fail, settle
from workers.app import app

if TYPE_CHECKING:
    from sqlalchemy import Engine

    from tests.workers.broker import Broker


def test_result_of_a_satellite_is_its_output(engine: Engine, broker: Broker) -> None:
    submitted = factories.submit(engine, factories.front(1))
    result = app.AsyncResult(str(submitted["s0"]))
    assert result.state == states.PENDING
    (attempt,) = claim(engine, submitted, "s0")
    assert result.state == states.STARTED
    settle(engine, completed(attempt, output={"n": 1}))
    assert (result.state, result.get(timeout=1)) == (states.SUCCESS, {"n": 1})


def test_failure_of_a_satellite_is_raised(engine: Engine, broker: Broker) -> None:
    submitted = factories.submit(engine, factories.chain(2))
    fail(engine, submitted, "s0")
    assert app.AsyncResult(str(submitted["s0"])).state == states.FAILURE
    assert app.AsyncResult(str(submitted["s1"])).state == states.IGNORED
    with pytest.raises(Exception, match="ValueError: no"):
        app.AsyncResult(str(submitted["s0"])).get(timeout=1)


def test_satellite_dispatched_again_is_the_same(engine: Engine, broker: Broker) -> None:
    submitted = factories.submit(engine, factories.front(1))
    settle(engine, completed(claim(engine, submitted, "s0")[0], output=1))
    assert app.AsyncResult(f"{submitted['s0']}~2").get(timeout=1) == 1


def test_unknown_id_is_pending_as_celery_has_it(broker: Broker) -> None:
    assert app.AsyncResult(str(uuid4())).state == states.PENDING


def test_revoked_task_cancels_its_execution(engine: Engine, broker: Broker) -> None:
    submitted = factories.submit(engine, factories.chain(2))
    app.backend.mark_as_revoked(f"{submitted['s0']}~1")
    assert execution(engine, submitted)["status"] == "cancelled"
    assert app.AsyncResult(str(submitted["s1"])).state == states.REVOKED
