"""A program run to its end, with its output read as it comes, and bounded."""

from __future__ import annotations

import asyncio
import os
import socket
import sys
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from exospherehost import ConfigurationError, TransientError

if TYPE_CHECKING:
    from asyncio import StreamReader
    from asyncio.subprocess import Process
    from collections.abc import Callable, Mapping, Sequence

SUPERVISOR = Path(__file__).with_name("supervisor.py")
CHUNK_BYTES = 64 * 1024
LOGGED_LINES = 1000
LOGGED_LINE_CHARACTERS = 2000


@dataclass(frozen=True, slots=True)
class Ended:
    """A program that has ended; `exit_code` is negative where a signal ended it."""

    exit_code: int
    stdout: Captured
    stderr: Captured


class Captured:
    """The beginning of a stream, up to a number of bytes; its first lines are logged as they come."""

    def __init__(self, max_bytes: int, log: Callable[[str], None]) -> None:
        self.truncated = False
        self._max_bytes = max_bytes
        self._log = log
        self._kept = bytearray()
        self._line = b""
        self._lines = 0

    @property
    def text(self) -> str:
        """What was kept, as UTF-8, with replacement characters where it is none."""
        return self._kept.decode("utf-8", "replace").replace("\0", "\ufffd")

    async def read(self, stream: StreamReader) -> None:
        """Read a stream to its end."""
        while chunk := await stream.read(CHUNK_BYTES):
            room = self._max_bytes - len(self._kept)
            self._kept += chunk[:room]
            self.truncated = self.truncated or len(chunk) > room
            self._log_lines(chunk)
        if self._line:
            self._log_line(self._line)

    def _log_lines(self, chunk: bytes) -> None:
        if self._lines > LOGGED_LINES:
            return
        *lines, rest = (self._line + chunk).split(b"\n")
        self._line = rest[: 4 * LOGGED_LINE_CHARACTERS]
        for line in lines:
            self._log_line(line)

    def _log_line(self, line: bytes) -> None:
        if self._lines < LOGGED_LINES:
            self._log(line.decode("utf-8", "replace").rstrip("\r")[:LOGGED_LINE_CHARACTERS])
        elif self._lines == LOGGED_LINES:
            self._log(f"(lines after the first {LOGGED_LINES} are not logged)")
        self._lines += 1


async def run(
    program: str,
    arguments: Sequence[str],
    *,
    environment: Mapping[str, str],
    stdin: bytes | None,
    stdout: Captured,
    stderr: Captured,
) -> Ended:
    """Run a program in a fresh folder, with this environment and no other; end it where this is cancelled.

    Raises ConfigurationError where the program cannot be started, TransientError where its supervisor was killed.
    """
    ours, theirs = socket.socketpair()
    with ours, theirs, TemporaryDirectory(prefix="exosphere-command-", ignore_cleanup_errors=True) as folder:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-I", str(SUPERVISOR), str(theirs.fileno()), program, *arguments,
            stdin=asyncio.subprocess.DEVNULL if stdin is None else asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            cwd=folder,
            env={**_environment(folder), **environment},
            pass_fds=[theirs.fileno()],
            start_new_session=True,
        )  # fmt: skip
        theirs.close()
        try:
            await _communicate(process, stdin, stdout, stderr)
            told = (await asyncio.to_thread(ours.recv, 4096)).decode()
        finally:
            ours.close()  # where it still runs, this ends it
            await process.wait()
    if not told:
        raise TransientError("the supervisor of the command was killed")
    if told.startswith("!"):
        raise ConfigurationError(f"{program} cannot be started: {told[1:]}")
    return Ended(int(told), stdout, stderr)


def _environment(folder: str) -> dict[str, str]:
    path = os.pathsep.join(os.get_exec_path())
    return {"PATH": path, "LANG": "C.UTF-8", "HOME": folder, "TMPDIR": folder}


async def _communicate(process: Process, stdin: bytes | None, stdout: Captured, stderr: Captured) -> None:
    assert process.stdout is not None and process.stderr is not None  # noqa: S101, PT018  (they are pipes)
    async with asyncio.TaskGroup() as group:
        group.create_task(stdout.read(process.stdout))
        group.create_task(stderr.read(process.stderr))
        if stdin is not None:
            group.create_task(_feed(process, stdin))


async def _feed(process: Process, stdin: bytes) -> None:
    assert process.stdin is not None  # noqa: S101  (it is a pipe)
    try:
        process.stdin.write(stdin)
        await process.stdin.drain()
    except (BrokenPipeError, ConnectionResetError):
        return  # the program does not read all of it, which is its own affair
    finally:
        process.stdin.close()
