"""The client's errors for responses that come from a proxy and not from a State Manager."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from exospherehost.state_manager import InvalidRequest, ServerFailed, StateManagerClient, StateManagerError
from tests.client.scripted_server import EXECUTION, ScriptedServer

if TYPE_CHECKING:
    from exospherehost.state_manager import Execution


def asked(script: ScriptedServer) -> Execution:
    async def ask() -> Execution:
        async with script.serve() as uri, StateManagerClient(uri) as client:
            return await client.get_execution(EXECUTION)

    return asyncio.run(ask())


@pytest.mark.parametrize("status", [500, *range(520, 527)])
def test_status_without_a_name_is_a_failure_of_the_server(status: int) -> None:
    with pytest.raises(ServerFailed, match=str(status)):
        asked(ScriptedServer(statuses=[status], final={}))


@pytest.mark.parametrize("payload", [["no"], "no", 1, None])
@pytest.mark.parametrize(("status", "error"), [(200, ServerFailed), (400, InvalidRequest), (500, ServerFailed)])
def test_answer_that_is_no_object_is_named(status: int, error: type[StateManagerError], payload: Any) -> None:
    with pytest.raises(error, match=f"answered {status}, and no JSON object"):
        asked(ScriptedServer(statuses=[status], final=payload))


@pytest.mark.parametrize("errors", ["no", ["no"], {"a": "no"}, [{}]])
def test_errors_of_another_shape_do_no_harm(errors: Any) -> None:
    with pytest.raises(InvalidRequest):
        asked(ScriptedServer(statuses=[400], final={"errors": errors}))


@pytest.mark.parametrize("status", [429, 502, 503, 504])
def test_server_that_is_away_or_busy_is_asked_again(status: int) -> None:
    script = ScriptedServer(statuses=[status, status])

    assert asked(script).status == "completed"
    assert script.statuses == []
