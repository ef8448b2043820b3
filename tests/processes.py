"""Processes that a test starts: their output is kept, and they always end with the test."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from types import TracebackType
    from typing import Self

ROOT = Path(__file__).parent.parent


def python(*arguments: str) -> list[str]:
    """Return the command that runs this Python with these arguments."""
    return [sys.executable, *arguments]


def free_port() -> int:
    """Return a port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port


class Process:
    """A process in a group of its own, so that what it starts ends with it."""

    def __init__(self, command: Sequence[str], environment: Mapping[str, str], cwd: Path = ROOT) -> None:
        with tempfile.NamedTemporaryFile(prefix="exo-out-", delete=False) as out:
            self._out = Path(out.name)
            self._popen = subprocess.Popen(
                command,
                env={**os.environ, **environment},
                cwd=cwd,
                stdout=out,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    @property
    def pid(self) -> int:
        """The id of the process and of its group."""
        return self._popen.pid

    @property
    def output(self) -> str:
        """All that it has printed so far, on stdout and stderr."""
        return self._out.read_text(errors="replace")

    @property
    def returncode(self) -> int | None:
        """The exit status; None while it runs."""
        return self._popen.poll()

    def send(self, number: signal.Signals) -> None:
        """Send a signal to the process alone."""
        self._popen.send_signal(number)

    def kill_group(self) -> None:
        """Kill the process and its children, at once."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)
        self._popen.wait()

    def wait(self, within_s: float = 30) -> int:
        """Wait for its end, and return its exit status."""
        return self._popen.wait(within_s)

    def stop(self, within_s: float = 15) -> None:
        """Ask it to stop, then kill what is left of its group."""
        if self.returncode is None:
            self.send(signal.SIGTERM)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.wait(within_s)
        self.kill_group()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.kill_group()
        if error is not None:
            print(f"--- output of process {self.pid}\n{self.output[-8000:]}")
        self._out.unlink(missing_ok=True)
