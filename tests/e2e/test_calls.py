"""Satellites that call services and run programs, in a whole system."""

from __future__ import annotations

import hashlib
import hmac
import json
import os
import signal
import sys
from typing import TYPE_CHECKING

import psutil
import pytest
import yaml

from tests.commands.test_ending import FAMILY, gone, told
from tests.http.servers import answer, serving
from tests.processes import ROOT
from tests.system import System, fresh_system
from tests.waiting import until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from http.server import BaseHTTPRequestHandler
    from pathlib import Path

    from tests.http.servers import Received

COMMAND = "satellite/exospherehost/run-command"


@pytest.fixture(scope="module")
def calling(postgres: str, template: str) -> Iterator[System]:
    """Yield a system whose workers may run this Python, and reach this machine."""
    with fresh_system(
        postgres, template, RUN_COMMANDS=sys.executable, ALLOW_PRIVATE_ADDRESSES="127.0.0.1", LEASE_SECONDS="3"
    ) as system:
        system.start_everything()
        yield system


def family_of(file: Path) -> dict[str, object]:
    return {"name": "family", "uses": COMMAND, "config": {"command": [sys.executable, "-c", FAMILY, str(file)]}}


def test_webhook_that_is_asked_to_wait_charges_no_attempt(calling: System) -> None:
    def busy_once(_: Received, handler: BaseHTTPRequestHandler) -> None:
        if len(server.received) == 1:
            answer(handler, 429, Retry_After="1")
        else:
            answer(handler, 200, b'{"ok": true}')

    with serving(busy_once) as server:
        config = {"url": server.url(), "body": {"a": 1}}
        uses = "satellite/exospherehost/call-webhook"
        execution = calling.wait(calling.submit({"name": "tell", "uses": uses, "config": config, "retries": 0}))
    assert execution["status"] == "completed", execution
    assert execution["results"]["tell"]["body"] == {"ok": True}
    first, second = (one.headers["idempotency-key"] for one in server.received)
    assert first == second


def test_example_ends_with_a_signed_webhook(calling: System) -> None:
    cluster = yaml.safe_load((ROOT / "examples" / "notify.yaml").read_text())
    with serving(lambda _, handler: answer(handler, 204)) as server:
        cluster["inputs"]["hook"] = server.url()
        cluster["secrets"] = {"HOOK_KEY": "correct horse"}
        status, answered = calling.call("POST", "/executions", cluster)
        assert status == 201, answered
        execution = calling.wait(answered["execution_id"])
    assert execution["status"] == "completed", execution
    (received,) = server.received
    assert json.loads(received.body) == {"execution": answered["execution_id"], "text": "1234 words were counted"}
    timestamp, digest = (part.split("=", 1)[1] for part in received.headers["x-exosphere-signature"].split(","))
    signed = hmac.new(b"correct horse", timestamp.encode() + b"." + received.body, hashlib.sha256).hexdigest()
    assert digest == signed
    assert "correct horse" not in json.dumps(execution)


def test_cancelled_command_ends_with_all_that_it_started(calling: System, tmp_path: Path) -> None:
    execution_id = calling.submit(family_of(tmp_path / "family"))
    family = told(tmp_path / "family")
    assert calling.call("DELETE", f"/executions/{execution_id}")[0] == 202
    until(lambda: gone(family), within_s=15)


def test_command_of_a_killed_child_ends_and_runs_again(calling: System, tmp_path: Path) -> None:
    file = tmp_path / "family"
    execution_id = calling.submit(family_of(file))
    first = told(file)
    child = psutil.Process(first[-1]).ppid()
    file.unlink()
    os.kill(child, signal.SIGKILL)
    until(lambda: gone(first), within_s=15)
    second = told(file)
    assert json.dumps(first) != json.dumps(second)
    calling.call("DELETE", f"/executions/{execution_id}")
    until(lambda: gone(second), within_s=15)
