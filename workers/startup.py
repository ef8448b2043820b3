"""The start of a worker or of beat: waits for the migration, and refuses to run where it cannot."""

from __future__ import annotations

import logging
import sys
import time
from typing import TYPE_CHECKING, NoReturn

from state_manager.store.outages import retry_until_available
from state_manager.store.schema import is_current

if TYPE_CHECKING:
    from sqlalchemy import Engine

CONFIGURATION_FAULT = 2
"""Exit code of a process that cannot run as configured: a supervisor need not try again (`local/supervisor.py`)."""

MIGRATION_WAIT_S = 60.0
"""Longest time that a process waits for the migration, which may be under way in another one."""

LOOK_EVERY_S = 0.5

_log = logging.getLogger(__name__)


def refuse(reason: str) -> NoReturn:
    """End this process; the reason is the last line that it writes."""
    print(reason, file=sys.__stderr__, flush=True)
    raise SystemExit(CONFIGURATION_FAULT)


def wait_for_migration(engine: Engine, within_s: float = MIGRATION_WAIT_S) -> None:
    """Wait until the database has the newest migration; refuse to start where nobody migrates it."""
    deadline = time.monotonic() + within_s
    waiting = False
    while not retry_until_available(lambda: is_current(engine)):
        if not waiting:
            _log.warning("waiting for the database to be migrated: python -m state_manager.store.migrate")
        waiting = True
        if time.monotonic() > deadline:
            refuse(
                "cannot start: the database is not migrated; "
                "run python -m state_manager.store.migrate with the same DATABASE_URI"
            )
        time.sleep(LOOK_EVERY_S)
