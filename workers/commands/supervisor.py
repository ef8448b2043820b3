"""The supervisor of one command, a process between the worker and the program; started by `command`.

It ends the command with everything that it started as soon as the worker asks for it, or is gone: killed, so that it
could not ask. It knows that from the control socket, whose other end is closed then. On Linux it adopts the orphans of
the command, so that it also finds those that left its process group. Should the supervisor itself be killed, the kernel
kills the command (Linux).

Arguments: the number of the control socket's descriptor, the program's path, then the arguments from the zeroth on.
Writes to the socket the exit code, negative for a signal, or `!` and why the program cannot be started.
"""

from __future__ import annotations

import ctypes
import select
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import psutil

GRACE_S = 0.7
"""Time between the request to end and the kill. The worker's orderly stop gives its satellites a second."""

PR_SET_PDEATHSIG, PR_SET_CHILD_SUBREAPER = 1, 36
STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT)
LOOK_EVERY_S = 0.01


def main(descriptor: str, program: str, *arguments: str) -> None:
    """Run the program until it ends or has to end; end whatever it left running, and remove the working directory."""
    control = socket.socket(fileno=int(descriptor))
    woken = _wake_on_signals()
    _prctl(PR_SET_CHILD_SUBREAPER, 1)
    try:
        command = subprocess.Popen(
            arguments,
            executable=program,
            start_new_session=True,
            preexec_fn=_die_with_parent,  # noqa: PLW1509  (this process has one thread)
        )
    except (OSError, ValueError) as error:
        _tell(control, f"!{error}")
        return
    _wait(command, control, woken)
    _end(command)
    shutil.rmtree(Path.cwd(), ignore_errors=True)  # the worker would do it, unless it was killed
    _tell(control, str(command.returncode))


def _wake_on_signals() -> socket.socket:
    """Return a socket to which the number of each signal is written."""
    reader, writer = socket.socketpair()
    writer.setblocking(False)
    signal.set_wakeup_fd(writer.fileno(), warn_on_full_buffer=False)
    _open_ends.append(writer)
    for number in (signal.SIGCHLD, *STOP_SIGNALS):
        signal.signal(number, lambda *_: None)
    return reader


_open_ends: list[socket.socket] = []


def _wait(command: subprocess.Popen[bytes], control: socket.socket, woken: socket.socket) -> None:
    """Return when the command has ended, the worker is gone or asks to end, or a signal says so."""
    while command.poll() is None:
        ready, _, _ = select.select([control, woken], [], [])
        if control in ready:
            return
        if woken in ready and not set(STOP_SIGNALS).isdisjoint(woken.recv(4096)):
            return


def _end(command: subprocess.Popen[bytes]) -> None:
    """End the command and all of its descendants: first by SIGTERM, after the grace by SIGKILL."""
    if command.poll() is None:
        _signal_all(signal.SIGTERM)
        deadline = time.monotonic() + GRACE_S
        while command.poll() is None and time.monotonic() < deadline:
            time.sleep(LOOK_EVERY_S)
    while _signal_all(signal.SIGKILL):  # one that forks meanwhile is found in the next round
        time.sleep(LOOK_EVERY_S)
    command.wait()


def _signal_all(number: signal.Signals) -> bool:
    """Send a signal to every descendant; tell whether there was one that has not ended."""
    found = False
    for process in psutil.Process().children(recursive=True):
        try:
            if process.status() != psutil.STATUS_ZOMBIE:
                found = True
                process.send_signal(number)
        except psutil.NoSuchProcess:
            continue  # it has just ended
    return found


def _tell(control: socket.socket, text: str) -> None:
    try:
        control.sendall(text.encode("utf-8", "backslashreplace"))
    except OSError:
        return  # the worker is gone, and nobody asks


def _die_with_parent() -> None:
    _prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    for number in (signal.SIGCHLD, *STOP_SIGNALS):
        signal.signal(number, signal.SIG_DFL)


def _prctl(option: int, value: int) -> None:
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(option, value, 0, 0, 0)


if __name__ == "__main__":
    main(*sys.argv[1:])
