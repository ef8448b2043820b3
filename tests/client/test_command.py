"""`exosphere` as a program: what it prints, and how it ends."""

from __future__ import annotations

import fcntl
import json
import os
import pty
import signal
import struct
import subprocess
import sys
import termios
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pytest

from tests.processes import Process, free_port
from tests.waiting import until

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Self

    from tests.system import System

EXOSPHERE = str(Path(sys.executable).with_name("exosphere"))
ECHO = "satellite/exospherehost/echo"
pytestmark = pytest.mark.usefixtures("uri")


def exosphere(*arguments: str, code: int = 0, given: str | None = None) -> str:
    done = subprocess.run([EXOSPHERE, *arguments], capture_output=True, text=True, input=given, timeout=60, check=False)
    assert done.returncode == code, done.stdout + done.stderr
    assert "\x1b" not in done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    return done.stdout if code < 2 else done.stderr


def document(tmp_path: Path, *satellites: dict[str, Any]) -> str:
    file = tmp_path / "cluster.json"
    file.write_text(json.dumps({"identifier": "test/command", "satellites": satellites}))
    return str(file)


def good(tmp_path: Path) -> str:
    return document(tmp_path, {"name": "a", "uses": ECHO}, {"name": "b", "uses": ECHO, "dependencies": ["a"]})


def bad(tmp_path: Path) -> str:
    return document(tmp_path, {"name": "a", "uses": ECHO}, {"name": "f", "uses": "satellite/test/fail", "retries": 0})


def test_submit_prints_the_id_which_list_and_watch_know(tmp_path: Path) -> None:
    execution_id = exosphere("submit", good(tmp_path)).strip()

    assert exosphere("watch", execution_id).splitlines()[-1] == "}"
    row = exosphere("list", "--project", "test", "--status", "completed", "--limit", "1").split()
    assert row[0] == execution_id
    assert row[2:] == ["completed", "100%", "test/command"]


def test_watch_prints_a_line_an_event_and_what_came_of_it(tmp_path: Path) -> None:
    lines = exosphere("submit", good(tmp_path), "--watch").splitlines()

    told = [line.partition("Z")[2].split(" in ")[0].strip() for line in lines[:7]]
    assert told == [
        "0%  execution  submitted",
        "0%  execution  started",
        "0%  a  started",
        "50%  a  completed",
        "50%  b  started",
        "100%  b  completed",
        "100%  execution  completed",
    ]
    assert lines[7].endswith("2 of 2 satellites completed")
    assert json.loads("\n".join(lines[8:]))["b"]["input"]["a"] == {"config": {}, "input": {}}


def test_programs_get_json_an_object_a_line(tmp_path: Path) -> None:
    submitted = json.loads(exosphere("submit", good(tmp_path), "--json"))
    updates = [json.loads(line) for line in exosphere("watch", submitted["execution_id"], "--json").splitlines()]
    assert (updates[-1]["status"], updates[-1]["progress"]) == ("completed", 100)
    assert set(updates[-1]["results"]) == {"b"}

    whole = [json.loads(line) for line in exosphere("submit", good(tmp_path), "--watch", "--json").splitlines()]
    assert [one["seq"] for one in whole] == list(range(1, 8))
    assert [one["satellite"]["name"] for one in whole if one["satellite"]] == ["a", "a", "b", "b"]

    final = json.loads(exosphere("submit", good(tmp_path), "--wait", "--json"))
    assert final["results"]["b"]["input"]["a"] == {"config": {}, "input": {}}
    listed = [json.loads(line) for line in exosphere("list", "--json", "--limit", "2").splitlines()]
    assert [one["execution_id"] for one in listed] == [final["execution_id"], whole[0]["execution_id"]]


def test_document_may_come_over_standard_input_and_a_key_makes_it_count_once(tmp_path: Path) -> None:
    yaml = f"identifier: test/command\nsatellites: [{{name: a, uses: {ECHO}}}]\n"
    key = tmp_path.name + str(os.getpid())

    assert exosphere("submit", "-", "--key", key, given=yaml) == exosphere("submit", "-", "--key", key, given=yaml)


def test_failed_execution_exits_1_and_says_which_satellite_failed(tmp_path: Path) -> None:
    printed = exosphere("submit", bad(tmp_path), "--wait", code=1)

    execution_id, status = printed.split()[:2]
    assert status == "failed"
    assert "  f: ValueError: it was told to fail (exosphere logs " in printed
    assert "Traceback" in exosphere("logs", execution_id, "f")
    satellite_id = printed.partition("exosphere logs ")[2].partition(")")[0]
    assert all(json.loads(line)["attempt"] == 1 for line in exosphere("logs", satellite_id, "--json").splitlines())

    assert exosphere("retry", execution_id).split()[0] == execution_id
    exosphere("watch", execution_id, code=1)
    assert exosphere("retry", "--satellite", satellite_id).startswith(f"{satellite_id}  ")
    exosphere("watch", execution_id, code=1)


def test_show_reports_an_execution_and_a_satellite_at_any_time(tmp_path: Path, system: System) -> None:
    execution_id = exosphere("submit", held(tmp_path)).strip()
    until(lambda: system.statuses(execution_id)["w"] == "running", what="the satellite runs")
    running = exosphere("show", execution_id)
    assert running.startswith(f"{execution_id} running: 0 of 1 satellites completed\n  cluster      test/command\n")
    assert "\n  w  running\n" in running
    (tmp_path / "gate").touch()
    exosphere("watch", execution_id)

    shown = json.loads(exosphere("show", execution_id, "--json"))
    assert shown == system.execution(execution_id)
    satellite_id = shown["satellites"][0]["satellite_id"]
    satellite = exosphere("show", satellite_id)
    assert satellite.startswith(f"{satellite_id} w completed in ")
    assert f'config:\n{{\n  "file": "{tmp_path / "gate"}"\n}}' in satellite
    assert json.loads(exosphere("show", satellite_id, "--json"))["execution_id"] == execution_id


def test_logs_of_an_execution_are_those_of_its_satellites_by_time(tmp_path: Path) -> None:
    talk = "satellite/test/talk"
    cluster = document(
        tmp_path,
        {"name": "a", "uses": talk},
        {"name": "b", "uses": talk, "dependencies": ["a"]},
        {"name": "c", "uses": talk},
    )
    execution_id = exosphere("submit", cluster, "--wait").split()[0]

    rows = [line.split("  ") for line in exosphere("logs", execution_id).splitlines()]
    assert [row[0] for row in rows] == sorted(row[0] for row in rows)
    assert {row[1] for row in rows} == {"a", "b", "c"}
    assert [row[1] for row in rows if row[1] != "c"] == ["a"] * (len(rows) // 3) + ["b"] * (len(rows) // 3)
    assert rows[-1][2] == "attempt 1"

    lines = [json.loads(line) for line in exosphere("logs", execution_id, "--json").splitlines()]
    of_one = [line for line in lines if line["name"] == "a"]
    by_id = [json.loads(line) for line in exosphere("logs", of_one[0]["satellite_id"], "--json").splitlines()]
    assert [{**line, "name": "a", "satellite_id": of_one[0]["satellite_id"]} for line in by_id] == of_one


def test_what_is_refused_exits_2_and_names_every_fault(tmp_path: Path) -> None:
    complaint = exosphere("submit", document(tmp_path, {"name": "a"}, {"name": "b", "uses": "no"}), code=2)
    assert "satellites[0].uses: " in complaint
    assert "satellites[1].uses: unknown satellite 'no'" in complaint
    done = exosphere("submit", good(tmp_path), "--wait").split()[0]
    assert f"execution {done} is completed" in exosphere("cancel", done, code=2)
    assert "is completed, not failed" in exosphere("retry", done, code=2)
    assert "no satellite 'c', but a, b" in exosphere("logs", done, "c", code=2)
    assert "cannot be read" in exosphere("submit", str(tmp_path / "nowhere.yaml"), code=2)
    assert "http://" in exosphere("list", "--uri", "localhost", code=2)
    assert "'0' is not a positive whole number" in exosphere("list", "--limit", "0", code=2)
    assert "'x' is not a positive whole number" in exosphere("list", "--limit", "x", code=2)
    assert "'soon' is not a time in ISO 8601" in exosphere("list", "--after", "soon", code=2)
    assert "'-1' is not a number of seconds" in exosphere("list", "--retry-for=-1", code=2)
    assert "'x' is not a number of seconds" in exosphere("list", "--retry-for", "x", code=2)
    assert "usage:" in exosphere(code=2)


def test_what_is_not_there_exits_3() -> None:
    assert "there is no execution" in exosphere("watch", "no-such-id", code=3)
    assert "still running" not in exosphere("watch", "a b", code=3)
    assert "there is no execution" in exosphere("watch", "a b", code=3)
    assert "there is no execution" in exosphere("cancel", str(uuid4()), code=3)
    for command in ("show", "logs"):
        for some_id in (str(uuid4()), "a b"):
            assert f"there is no execution or satellite {some_id}" in exosphere(command, some_id, code=3)
    away = exosphere("list", "--uri", f"http://127.0.0.1:{free_port()}", "--retry-for", "0.2", code=3)
    assert "cannot be reached" in away


def unread(*arguments: str) -> str:
    read, write = os.pipe()
    os.close(read)
    with os.fdopen(write) as pipe:
        done = subprocess.run([EXOSPHERE, *arguments], stdout=pipe, stderr=-1, text=True, timeout=60, check=False)
    assert done.returncode == 141, done.stderr
    return done.stderr


def test_reader_that_has_enough_ends_it_with_141(tmp_path: Path, system: System) -> None:
    exosphere("submit", good(tmp_path))
    assert unread("list", "--json") == ""

    execution_id = id_of_running(unread("submit", held(tmp_path), "--watch"))
    assert system.execution(execution_id)["status"] in {"pending", "running"}
    exosphere("cancel", execution_id)


@pytest.mark.parametrize("how", ["--wait", "--watch", "--json"])
def test_id_of_what_was_submitted_is_told_when_the_server_goes_away(tmp_path: Path, how: str) -> None:
    with ThreadingHTTPServer(("127.0.0.1", 0), Leaving) as server:
        Thread(target=server.serve_forever).start()
        uri = f"http://127.0.0.1:{server.server_port}"
        try:
            complaint = exosphere("submit", good(tmp_path), how, "--uri", uri, "--retry-for", "0.2", code=3)
        finally:
            server.shutdown()
    assert id_of_running(complaint) == "the-id"


class Leaving(BaseHTTPRequestHandler):
    """A server that acknowledges a submission, and answers nothing else."""

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self._answer(201)

    def do_GET(self) -> None:
        self._answer(503)

    def _answer(self, status: int) -> None:
        self.send_response(status)
        self.end_headers()
        self.wfile.write(b'{"execution_id": "the-id"}')

    def log_message(self, *_: object) -> None:
        """Say nothing."""


def held(tmp_path: Path) -> str:
    gate = str(tmp_path / "gate")
    return document(tmp_path, {"name": "w", "uses": "satellite/test/wait", "config": {"file": gate}})


def id_of_running(complaint: str) -> str:
    assert "the execution is still running" in complaint
    return complaint.partition("exosphere watch ")[2].split()[0]


def test_interrupting_a_watch_leaves_the_execution_running(tmp_path: Path, system: System) -> None:
    with Process([EXOSPHERE, "submit", held(tmp_path), "--watch"], {}) as watching:
        until(lambda: "w  started" in watching.output, what="the watch shows that the satellite has started")
        watching.send(signal.SIGINT)
        assert watching.wait() == 130
        execution_id = id_of_running(watching.output)
    assert system.execution(execution_id)["status"] == "running"
    assert exosphere("cancel", execution_id) == f"{execution_id}  cancelled\n"
    exosphere("watch", execution_id, code=1)


def test_terminal_shows_bars_of_what_runs_and_keeps_failures(tmp_path: Path) -> None:
    begins, ends = tmp_path / "begins", tmp_path / "ends"
    cluster = document(
        tmp_path,
        {"name": "steps", "uses": "satellite/test/step", "config": {"begins": str(begins), "ends": str(ends)}},
        {"name": "evil", "uses": "satellite/test/fail", "retries": 0, "config": {"message": "red \x1b[31m\nline"}},
    )
    with Terminal(EXOSPHERE, "submit", cluster, "--watch") as terminal:
        until(lambda: "● steps" in plain(terminal.shown()), what="the running satellite is shown")
        begins.touch()
        until(lambda: "step 1000 of 1000" in terminal.shown(), what="its progress is shown")
        ends.touch()
        assert terminal.end() == 1
    shown = terminal.shown()
    assert "\x1b[?25l" in shown  # redrawn in place
    assert "━" in shown
    assert "✗ evil failed" in plain(shown)
    assert "ValueError: red  [31m line" in plain(shown)
    assert "2 of 2, 1 failed" in plain(shown)


class Terminal:
    """A program on a terminal of its own, 100 columns wide."""

    def __init__(self, *command: str, env: Mapping[str, str] = os.environ, cwd: Path | None = None) -> None:
        self._ours, theirs = pty.openpty()
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 30, 100, 0, 0))
        os.set_blocking(self._ours, False)
        self._program = subprocess.Popen(
            command,
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            env={**env, "TERM": "xterm-256color"},
            cwd=cwd,
            start_new_session=True,
        )
        os.close(theirs)
        self._shown = b""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._program.kill()
        self._program.wait()
        os.close(self._ours)

    def send(self, number: signal.Signals) -> None:
        """Send it a signal."""
        self._program.send_signal(number)

    def shown(self) -> str:
        """Give all that it has written so far."""
        try:
            while written := os.read(self._ours, 65536):
                self._shown += written
        except OSError:  # nothing more at present, or ever
            pass
        return self._shown.decode(errors="replace")

    def end(self) -> int:
        """Wait for its end, and give its exit code."""
        until(lambda: (self.shown(), self._program.poll() is not None)[1], what="it ends")
        self.shown()
        return self._program.wait()


def plain(shown: str) -> str:
    """Take the colours out."""
    parts = shown.split("\x1b[")
    return parts[0] + "".join(part.partition("m")[2] if "m" in part else part for part in parts[1:])
