"""`python run.py`: run the whole system until a stop signal."""

from __future__ import annotations

from typing import TYPE_CHECKING

from local.addresses import host_and_port
from local.errors import Interrupted
from local.stop_signal import StopSignal
from local.system import running_system

if TYPE_CHECKING:
    from state_manager.config import Settings


def serve(settings: Settings) -> int:
    """Serve until a stop signal, print a line when a submission would succeed, and return the exit code."""
    stop_signal = StopSignal()
    try:
        with running_system(settings, stop_signal) as supervisor:
            print(ready_line(settings), flush=True)  # noqa: T201
            while not stop_signal.wait(supervisor.restart_dead_parts()):
                pass
    except Interrupted:
        pass
    return 0


def ready_line(settings: Settings) -> str:
    """Return the line that announces that the system is ready, which programs wait for."""
    return f"ready on http://{host_and_port(settings.host, settings.port)}"
