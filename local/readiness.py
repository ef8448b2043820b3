"""Readiness of the system: wait until it accepts submissions, while dead parts are restarted."""

from __future__ import annotations

import json
import subprocess
import time
from http import HTTPStatus
from http.client import HTTPConnection, HTTPException
from typing import TYPE_CHECKING, Any

from local.addresses import reachable
from local.errors import FAILED, CannotStart, Interrupted
from local.processes import HOME_VARIABLE

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from local.processes import Part
    from local.stop_signal import StopSignal
    from local.supervisor import Supervisor
    from state_manager.config import Settings

START_TIMEOUT_S = 120.0
POLL_S = 0.02
HTTP_TIMEOUT_S = 10.0
MAX_DEATHS = 3
REASON_TIMEOUT_S = 20.0


def wait_for(missing: Callable[[], str | None], supervisor: Supervisor, stop_signal: StopSignal) -> None:
    """Wait until nothing is missing, and restart parts that die meanwhile.

    `missing` returns what is not there yet, for the message. Raises `CannotStart` when a part cannot run as configured
    or dies again and again, and `Interrupted`.
    """
    deadline = time.monotonic() + START_TIMEOUT_S
    while reason := missing():
        if stop_signal.wait(POLL_S):
            raise Interrupted
        supervisor.restart_dead_parts()
        if one := supervisor.misconfigured():
            raise CannotStart(f"{one.part.name}: {reason_of_failure(one.part, supervisor.home)}")
        if (one := supervisor.most_deaths()) and one.deaths >= MAX_DEATHS:
            raise CannotStart(f"{one.part.name} does not start: {reason_of_failure(one.part, supervisor.home)}", FAILED)
        if time.monotonic() > deadline:
            raise CannotStart(f"not ready within {START_TIMEOUT_S:g} s: {reason}", FAILED)


def reason_of_failure(part: Part, home: Path) -> str:
    """Return the last line that a failing part wrote.

    What went to the terminal cannot be read back, and other parts write there too: then the part is run once more.
    """
    if part.log is not None:
        return f"{last_line(part.log.read_bytes())} (see {part.log})"
    try:
        again = subprocess.run(
            part.command,
            env={**part.environ, HOME_VARIABLE: str(home)},  # by which its children are found, too
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            timeout=REASON_TIMEOUT_S,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return "its message is above"
    return last_line(again.stderr)


def last_line(output: bytes) -> str:
    """Return the last line that is not empty."""
    lines = output.decode(errors="replace").split("\n")
    return next((line.strip() for line in reversed(lines) if line.strip()), "")


def missing_for_submissions(settings: Settings, elapsed_s: float) -> str | None:
    """Return what is not healthy yet; None when a submission would succeed, and be run.

    A worker must have given a sign of life in this time: those that the database knows may be dead ones.
    """
    try:
        status, health = get_json(settings, "/state/health")
    except (OSError, HTTPException, ValueError) as error:
        return f"the API does not answer ({type(error).__name__})"
    if status != HTTPStatus.OK:
        return f"/state/health says {status}: {json.dumps(health)}"
    if not any(worker["age_s"] < elapsed_s for worker in health["workers"]):
        return "no worker has given a sign of life"
    return None


def get_json(settings: Settings, path: str) -> tuple[int, dict[str, Any]]:
    """Ask our API; return the status and the JSON of the response."""
    connection = HTTPConnection(reachable(settings.host), settings.port, timeout=HTTP_TIMEOUT_S)
    try:
        connection.request("GET", path)
        response = connection.getresponse()
        body: dict[str, Any] = json.loads(response.read())
        return response.status, body
    finally:
        connection.close()
