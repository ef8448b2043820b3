"""Satellites that wait for signals, in a whole system: they hold no worker, wake at once, and survive everything."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import time
from typing import TYPE_CHECKING, Any

import pytest
from redis import Redis

from exospherehost.state_manager import StateManagerClient
from tests.client.test_command import EXOSPHERE
from tests.system import System, fresh_system
from tests.waiting import until

if TYPE_CHECKING:
    from collections.abc import Iterator

WAIT = "satellite/exospherehost/wait-for-signal"
ECHO = "satellite/exospherehost/echo"


@pytest.fixture
def own_system(postgres: str, template: str) -> Iterator[System]:
    with fresh_system(postgres, template) as system:
        yield system


def waiting(name: str = "wait", **config: Any) -> dict[str, Any]:
    return {"name": name, "uses": WAIT, "config": {"name": "go", **config}}


def send(system: System, execution_id: str, payload: Any, name: str = "go") -> dict[str, Any]:
    status, answer = system.call("POST", f"/executions/{execution_id}/signals/{name}", {"payload": payload})
    assert status == 202, answer
    return dict(answer)


def wait_until_it_waits(system: System, execution_id: str, *names: str) -> None:
    def waits() -> bool:
        return all(system.satellite(execution_id, name)["not_before"] for name in names or ("wait",))

    until(waits, what="the satellites wait")


def test_signal_wakes_its_satellite_at_once_and_is_its_output(system: System) -> None:
    execution_id = system.submit(waiting(), {"name": "after", "uses": ECHO, "dependencies": ["wait"]})
    wait_until_it_waits(system, execution_id)
    assert system.satellite(execution_id, "wait")["attempt"] == 0
    sent = time.monotonic()
    assert (
        send(system, execution_id, {"approved": True})["satellite_id"]
        == (system.satellite(execution_id, "wait")["satellite_id"])
    )
    execution = system.wait(execution_id)
    assert time.monotonic() - sent < 5
    assert execution["results"]["after"]["input"] == {"wait": {"approved": True}}


def test_signal_that_came_before_is_received(system: System) -> None:
    execution_id = system.submit({"name": "first", "uses": "satellite/exospherehost/sleep", "config": {"seconds": 0.5}},
                                 {**waiting(), "dependencies": ["first"]})  # fmt: skip
    assert send(system, execution_id, [1])["satellite_id"] is None
    assert system.wait(execution_id)["results"] == {"wait": [1]}


def test_waiting_satellites_hold_no_worker(system: System) -> None:
    names = [f"w{at}" for at in range(20)]
    execution_id = system.submit(*(waiting(name) for name in names))
    wait_until_it_waits(system, execution_id, *names)
    assert system.wait(system.submit({"name": "one", "uses": ECHO}))["status"] == "completed"
    for number in range(20):
        send(system, execution_id, number)
    assert sorted(system.wait(execution_id)["results"].values()) == list(range(20))


def test_timeout_fails_it_once_by_a_kind_of_its_own(system: System) -> None:
    execution_id = system.submit(waiting(timeout=0.5))
    assert system.wait(execution_id)["status"] == "failed"
    failed = system.satellite(execution_id, "wait")
    assert (failed["error_kind"], failed["attempt"]) == ("signal_timeout", 1)
    assert failed["error"] == "SatelliteError: no signal 'go' came within 0.5 s"


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"name": "${{ inputs.n }}"}, 'config.name does not match type: "string"'),
        ({"name": "a${{ inputs.slash }}b"}, "config.name does not match pattern: "),
        ({"timeout": "${{ inputs.slash }}"}, 'config.timeout does not match type: "number"'),
    ],
)
def test_values_of_expressions_are_checked(system: System, config: dict[str, Any], message: str) -> None:
    execution_id = system.submit({**waiting(), "config": {"name": "go", **config}}, inputs={"n": 7, "slash": "/"})
    assert system.wait(execution_id)["status"] == "failed"
    failed = system.satellite(execution_id, "wait")
    assert failed["error_kind"] == "configuration_error"
    assert message in failed["error"]


def test_wait_survives_the_death_of_everything_and_an_empty_redis(own_system: System) -> None:
    system = own_system
    parts = [system.start_worker(), system.start_beat(), system.start_api()]
    execution_id = system.submit(waiting(), {"name": "after", "uses": ECHO, "dependencies": ["wait"]})
    wait_until_it_waits(system, execution_id)
    for part in parts:
        part.send(signal.SIGKILL)
        part.kill_group()
        part.wait()
    with Redis.from_url(system.redis_uri) as redis:
        redis.flushall()
    system.start_api()
    send(system, execution_id, 1)  # while nobody runs it
    with Redis.from_url(system.redis_uri) as redis:
        redis.flushall()
    system.start_worker()
    system.start_beat()
    assert system.wait(execution_id)["results"]["after"]["input"] == {"wait": 1}


def test_client_and_command_send_signals(system: System) -> None:
    uri = f"http://127.0.0.1:{system.port}"

    async def send_by_client() -> Any:
        async with StateManagerClient(uri) as client:
            return await client.signal(execution_id, "go", {"n": 1})

    execution_id = system.submit(waiting("a"), {**waiting("b"), "dependencies": ["a"]})
    wait_until_it_waits(system, execution_id, "a")
    sent = asyncio.run(send_by_client())
    assert sent.satellite_id == system.satellite(execution_id, "a")["satellite_id"]
    wait_until_it_waits(system, execution_id, "b")
    command = [EXOSPHERE, "signal", execution_id, "go", '{"n": 2}', "--uri", uri]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.startswith("given to satellite ")
    assert system.wait(execution_id)["results"] == {"b": {"n": 2}}
    refused = subprocess.run(
        [*command[:4], "text", "--uri", uri], capture_output=True, text=True, check=False, timeout=60
    )
    assert (refused.returncode, "the payload is no JSON" in refused.stderr) == (2, True)
