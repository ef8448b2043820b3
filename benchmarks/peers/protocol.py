"""The protocol of harness and peer: a workload per line on stdin, its seconds on stdout. Standard library alone."""

from __future__ import annotations

import json
import os
import re
import socket
import subprocess
import sys
import time
import traceback
from collections.abc import Callable
from contextlib import AbstractContextManager, contextmanager
from typing import TYPE_CHECKING, Any

from benchmarks.workloads import Workload, read

if TYPE_CHECKING:
    from collections.abc import Iterator

Run = Callable[[Workload], float]
Configuration = dict[str, str]
"""The folder for data, the variant, and the URIs of services by kind."""


def serve(version: str, start: Callable[[Configuration], AbstractContextManager[Run]]) -> None:
    """Start the peer, announce it, and run the requested workloads until the harness closes stdin."""
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)  # what libraries print is no answer

    def answer(**fields: Any) -> None:
        answers.write(json.dumps(fields) + "\n")

    with start(json.loads(sys.argv[1])) as run:
        answer(ready=version)
        for line in sys.stdin:
            try:
                answer(seconds=run(read(json.loads(line))))
            except Exception as error:  # noqa: BLE001  (whatever it is, the harness reports it)
                traceback.print_exc()
                answer(error=f"{type(error).__name__}: {error}"[:400])


@contextmanager
def programs(*commands: list[str], **environment: str) -> Iterator[None]:
    """Run servers or workers beside this process until the block ends."""
    running = [subprocess.Popen(one, env={**os.environ, **environment}, stdin=subprocess.DEVNULL) for one in commands]
    try:
        yield
    finally:
        for one in running:
            one.terminate()
        for one in running:
            try:
                one.wait(5)
            except subprocess.TimeoutExpired:
                one.kill()
                one.wait()


def version_of(program: str, pattern: str) -> str:
    """Return the version that a program prints."""
    said = subprocess.run([program, "--version"], capture_output=True, text=True, check=True).stdout
    found = re.search(pattern, said)
    return found[1] if found else said


def until(condition: Callable[[], Any], within_s: float = 60) -> None:
    """Wait for a condition; an exception counts as not yet true."""
    deadline = time.monotonic() + within_s
    while True:
        try:
            if condition():
                return
        except Exception:
            if time.monotonic() > deadline:
                raise
        if time.monotonic() > deadline:
            raise TimeoutError("it does not start")
        time.sleep(0.05)


def free_port() -> int:
    """Return a port that nobody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port
