"""`python run.py`: the whole system until a signal comes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from local.supervisor import Interruption
from local.system import Interrupted, bracketed, running

if TYPE_CHECKING:
    from state_manager.config import Settings


def serve(settings: Settings) -> int:
    """Serve, and say so on standard output when a submission would succeed; gives the exit code."""
    interruption = Interruption()
    try:
        with running(settings, interruption) as supervisor:
            print(ready_line(settings), flush=True)  # noqa: T201
            while not interruption.wait(supervisor.tend()):
                pass
    except Interrupted:
        pass
    return 0


def ready_line(settings: Settings) -> str:
    """Write the line that others wait for."""
    return f"ready on http://{bracketed(settings.host)}:{settings.port}"
