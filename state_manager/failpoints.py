"""Failpoints: named places at which a test stops, delays or kills a process. Off unless FAILPOINTS arms one.

`FAILPOINTS=settled=kill@/tmp/once` kills the first process that reaches `settled`: the process that acts removes the
file, so that a failpoint with a file acts once, in one of the processes.
Actions: `kill` (SIGKILL), `stop` (SIGSTOP), `exit` (os._exit), `sleep:SECONDS`, `error` (an OSError).
"""

from __future__ import annotations

import os
import signal
import time
from enum import StrEnum
from functools import cache
from pathlib import Path

from state_manager.config import settings


class Point(StrEnum):
    """The places at which a failpoint can be armed."""

    SUBMIT = "submit"
    """The API has validated a document; nothing of it is written."""
    SUBMITTED = "submitted"
    """The API has written an execution; its client has no answer yet, and no message is sent."""
    BEFORE_PUBLISH = "before-publish"
    """A dispatcher is about to send a message."""
    RECEIVED = "received"
    """A worker has received a message; its satellite is not claimed."""
    CLAIMED = "claimed"
    """A worker has claimed a satellite; its code has not begun."""
    ARTIFACT_WRITTEN = "artifact-written"
    """The bytes of an artifact are in place; its row is not there."""
    BEFORE_SETTLE = "before-settle"
    """A satellite's code has ended; the outcome is not recorded."""
    SETTLED = "settled"
    """The outcome is recorded; what became ready is not sent."""
    DISPATCHED = "dispatched"
    """All messages are sent; Celery has not finished the one that was worked on."""
    REPAIRED = "repaired"
    """The reconciler has repaired something in the database; the messages for it are not sent."""


def reach(point: Point) -> None:
    """Perform the action with which this failpoint is armed, if it is."""
    armed = _armed()
    if armed and point in armed:
        _act(*armed[point])


@cache
def _armed() -> dict[Point, tuple[str, str]]:
    armed = {}
    for one in settings().failpoints:
        name, _, rest = one.partition("=")
        action, _, file = rest.partition("@")
        armed[Point(name)] = (action, file)
    return armed


def _act(action: str, file: str) -> None:
    if file:
        try:
            Path(file).unlink()
        except FileNotFoundError:
            return
    kind, _, argument = action.partition(":")
    match kind:
        case "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        case "stop":
            os.kill(os.getpid(), signal.SIGSTOP)
        case "exit":
            os._exit(1)
        case "sleep":
            time.sleep(float(argument))
        case "error":
            raise OSError("a failpoint")
        case _:
            raise ValueError(f"no such failpoint action: {action!r}")
