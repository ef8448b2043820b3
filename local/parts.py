"""Our own processes as parts: worker, beat and API, and the environment they run in."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import psutil

from local.addresses import host_and_port
from local.processes import Part

if TYPE_CHECKING:
    from collections.abc import Iterator

    from state_manager.config import Settings

ROOT = Path(__file__).parents[1]
WORKER_STOP = ((signal.SIGTERM, 5.0), (signal.SIGQUIT, 8.0))
"""Celery's warm shutdown lets running satellites end; the cold one interrupts them and hands them back: the watchdog
gives each a second (`STOP_YIELD_S`), then its child is killed."""


def parts(settings: Settings, logs: Path | None) -> Iterator[Part]:
    """List our own processes, the API last, so that it is the first to stop.

    They write to files in the folder `logs`, or to standard error.
    """
    celery = [sys.executable, "-m", "workers"]
    environ = environment(settings)
    environ["PYTHONPATH"] = os.pathsep.join(filter(None, (str(ROOT), environ.get("PYTHONPATH"))))
    yield Part(
        name="worker",
        command=[
            *celery,
            "worker",
            f"--concurrency={settings.worker_concurrency}",
            f"--loglevel={settings.log_level}",
            "--without-mingle",  # which waits a second for other workers' answers
            "--without-gossip",
        ],
        environ=environ,
        stop=WORKER_STOP,
        log=logs and logs / "worker.log",
    )
    yield Part(
        name="beat",
        command=[*celery, "beat", f"--loglevel={settings.log_level}", "--pidfile="],
        environ=environ,
        stop=((signal.SIGTERM, 3.0),),
        log=logs and logs / "beat.log",
    )
    yield Part(
        name="api",
        command=[
            *(sys.executable, "-m", "gunicorn", "api.app:create_app()"),
            f"--bind={host_and_port(settings.host, settings.port)}",
            *(f"--config={ROOT / 'gunicorn.conf.py'}", f"--log-level={settings.log_level}"),
        ],
        environ=environ,
        stop=((signal.SIGTERM, 3.0),),
        log=logs and logs / "api.log",
    )


def environment(settings: Settings) -> dict[str, str]:
    """Return the environment of our own processes: the settings, and a place for bytecode that is kept nowhere else.

    With PYTHONDONTWRITEBYTECODE, or libraries in a folder that is read-only, each of them would compile
    thousands of modules at every start: two thirds of its time.
    """
    environ = settings.environ()
    if not Path(psutil.__spec__.cached or "").is_file():  # of a library that is imported by now
        folder = settings.home / "bytecode"
        folder.mkdir(mode=0o700, exist_ok=True)
        environ |= {"PYTHONDONTWRITEBYTECODE": "", "PYTHONPYCACHEPREFIX": str(folder)}
    return environ
