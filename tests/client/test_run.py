"""`run.py CLUSTER`: the whole system for one cluster, shown as the client shows it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import psutil

from tests.client.test_command import Terminal, plain
from tests.processes import ROOT, free_port, python
from tests.waiting import until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

RUN = str(ROOT / "run.py")
WITHIN_S = 90.0


def environment(home: Path) -> dict[str, str]:
    unset = ("DATABASE_URI", "REDIS_URI")
    own = {"EXOSPHERE_HOME": str(home / "home"), "PORT": str(free_port()), "SATELLITE_MODULES": "tests.satellites"}
    return {name: value for name, value in os.environ.items() if name not in unset} | own


def document(home: Path, *satellites: dict[str, Any]) -> str:
    file = home / "cluster.json"
    file.write_text(json.dumps({"identifier": "test/run", "satellites": satellites}))
    return str(file)


def gated(home: Path) -> str:
    gate = {"name": "gate", "uses": "satellite/test/wait", "config": {"file": str(home / "gate")}}
    behind = {"name": "behind", "uses": "satellite/exospherehost/echo", "dependencies": ["gate"]}
    return document(home, gate, behind)


@contextmanager
def running(home: Path, cluster: str) -> Iterator[subprocess.Popen[str]]:
    """Run a cluster; show what the program wrote if the test fails, and end the program whatever happens."""
    with (
        (home / "out").open("w") as out,
        (home / "err").open("w") as err,
        subprocess.Popen(
            python(RUN, cluster), stdout=out, stderr=err, text=True, cwd=ROOT, env=environment(home)
        ) as program,
    ):
        try:
            yield program
        except BaseException:
            print((home / "err").read_text()[-8000:])
            raise
        finally:
            program.send_signal(signal.SIGTERM)


def until_shown(program: subprocess.Popen[str], home: Path, line: str) -> None:
    """Wait for a line on standard error; fail at once when the program has ended without it."""
    shown = home / "err"
    until(lambda: line in shown.read_text() or program.poll() is not None, within_s=WITHIN_S, what=line)
    assert line in shown.read_text(), shown.read_text()


def test_cluster_goes_on_while_the_api_is_killed_and_started_again(folder: Path) -> None:
    with running(folder, gated(folder)) as program:
        until_shown(program, folder, "gate  started")
        api = next(one for one in psutil.Process(program.pid).children() if "gunicorn" in " ".join(one.cmdline()))
        for one in (api, *api.children(recursive=True)):
            one.kill()
        (folder / "gate").touch()
        assert program.wait(WITHIN_S) == 0

    shown = (folder / "err").read_text()
    assert "api ended with -9" in shown
    told = ("execution  submitted", "behind  started", "execution  completed")
    assert [shown.count(f"  {one}") for one in told] == [1, 1, 1]
    final = json.loads((folder / "out").read_text())
    assert (final["status"], final["progress"]["percent"], set(final["results"])) == ("completed", 100, {"behind"})


def test_failed_cluster_exits_1_and_a_refused_one_2(folder: Path) -> None:
    fails = document(folder, {"name": "f", "uses": "satellite/test/fail", "retries": 0})
    with running(folder, fails) as program:
        assert program.wait(WITHIN_S) == 1
    assert json.loads((folder / "out").read_text())["status"] == "failed"

    with running(folder, document(folder, {"name": "f"})) as program:
        assert program.wait(WITHIN_S) == 2
    assert "\n  satellites[0].uses: " in (folder / "err").read_text()
    assert (folder / "out").read_text() == ""


def test_terminal_shows_bars_and_a_signal_stops_everything(folder: Path) -> None:
    cluster = gated(folder)
    with Terminal(*python(RUN, cluster), env=environment(folder), cwd=ROOT) as terminal:
        until(lambda: "● gate" in plain(terminal.shown()), within_s=WITHIN_S, what="the running satellite is shown")
        terminal.send(signal.SIGINT)
        assert terminal.end() == 1
    shown = plain(terminal.shown())
    assert "celery" not in shown
    assert "api.log" in shown
    assert "ready." in (folder / "home/worker.log").read_text()
    left = [one for one in psutil.process_iter(["cmdline"]) if str(folder) in " ".join(one.info["cmdline"] or ())]
    assert left == []
