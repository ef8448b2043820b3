"""Failpoints: named places at which a test stops, delays or kills a process. Off unless FAILPOINTS arms one.

`FAILPOINTS=settled=kill@/tmp/once` kills the process that reaches `settled` first: the file of that name is
taken away by whoever acts, so that a failpoint with a file acts once, in whichever process gets there.
Actions: `kill` (SIGKILL), `stop` (SIGSTOP), `exit` (os._exit), `sleep:SECONDS`, `error` (an OSError).
"""

from __future__ import annotations

import os
import signal
import time
from functools import cache
from pathlib import Path

from state_manager.config import settings


def reach(name: str) -> None:
    """Act as the failpoint of this name is armed to; nothing happens where it is not."""
    armed = _armed()
    if armed and name in armed:
        _act(*armed[name])


@cache
def _armed() -> dict[str, tuple[str, str]]:
    armed = {}
    for one in settings().failpoints:
        name, _, rest = one.partition("=")
        action, _, file = rest.partition("@")
        armed[name] = (action, file)
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
