"""A peer as a process in its own environment, which exchanges lines of JSON with the harness."""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import tempfile
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil

from benchmarks import processes
from benchmarks.server import ROOT

if TYPE_CHECKING:
    from collections.abc import Iterator

    from benchmarks.workloads import Workload

READY_WITHIN_S = 120
RUN_WITHIN_S = 120
STOP_WITHIN_S = 20


class PeerFailed(Exception):
    """A peer failed; the text is its last output."""


class Remote:
    """A running peer."""

    def __init__(self, process: subprocess.Popen[bytes], log: Path) -> None:
        self.pids = [process.pid]
        self._process = process
        self._log = log
        self.version = str(self._answer(READY_WITHIN_S)["ready"])

    def run(self, workload: Workload) -> float:
        """Return the seconds that the peer's client saw; raises `PeerFailed`."""
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(json.dumps(workload.as_json()).encode() + b"\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            raise PeerFailed(f"it ended: {self._last_words()}") from None
        return float(self._answer(RUN_WITHIN_S)["seconds"])

    def children(self) -> list[int]:
        """Return the servers and workers that it started."""
        return [one.pid for one in psutil.Process(self._process.pid).children()]

    def _answer(self, within_s: float) -> dict[str, Any]:
        out = self._process.stdout
        assert out is not None
        if not select.select([out], [], [], within_s)[0]:
            raise PeerFailed(f"no answer within {within_s:g} s")
        line = out.readline()
        if not line:
            raise PeerFailed(f"it ended: {self._last_words()}")
        answer: dict[str, Any] = json.loads(line)
        if "error" in answer:
            raise PeerFailed(answer["error"])
        return answer

    def _last_words(self) -> str:
        return " ".join(self._log.read_text(errors="replace").split())[-400:]


@contextmanager
def remote(python: str, module: str, configuration: dict[str, str]) -> Iterator[Remote]:
    """Start a peer with its configuration and a folder for its data; stop all it started when the block ends."""
    with tempfile.TemporaryDirectory(prefix="bench-", ignore_cleanup_errors=True) as folder:
        log = Path(folder) / "log"
        with log.open("w") as errors:
            process = subprocess.Popen(
                [python, "-m", f"benchmarks.peers.{module}", json.dumps({"folder": folder, **configuration})],
                cwd=ROOT, env=_environment(folder), stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors,
                bufsize=0, start_new_session=True,
            )  # fmt: skip
        try:
            yield Remote(process, log)
        finally:
            _stop(process)


def _environment(folder: str) -> dict[str, str]:
    """Give ours without what belongs to our own environment."""
    ours = {name: value for name, value in os.environ.items() if name not in {"VIRTUAL_ENV", "PYTHONPATH"}}
    return {**ours, "HOME": folder, "PYTHONUNBUFFERED": "1"}


def _stop(process: subprocess.Popen[bytes]) -> None:
    """Ask it to end by closing its input, then end what is left of it and of what it started."""
    started = list(processes.tree([process.pid]))
    assert process.stdin is not None
    with suppress(BrokenPipeError):
        process.stdin.close()
    with suppress(subprocess.TimeoutExpired):
        process.wait(STOP_WITHIN_S)
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    for one in started:
        with suppress(psutil.NoSuchProcess):
            one.kill()
    process.wait()
