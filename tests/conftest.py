"""Fixtures of all tests: real services, and a system of processes that the tests of one run share."""

from __future__ import annotations

import os
import signal
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck
from hypothesis import settings as hypothesis_settings

from state_manager.store.engine import connect
from tests.services import create_template, fresh_database, fresh_redis, running_postgres
from tests.system import System, fresh_system

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sqlalchemy import Engine

BYTECODE = Path(__file__).parent.parent / ".pytest_cache" / "pyc"


def cache_bytecode() -> None:
    """Have every process that a test starts reuse compiled modules, also where the environment forbids it.

    Compiling makes up two thirds of the start of a worker or an API.
    """
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    os.environ.setdefault("PYTHONPYCACHEPREFIX", str(BYTECODE))


def reset_ignored_signals_in_children() -> None:
    """Let the processes that tests start receive signals that this one ignores.

    A shell starts `nohup uv run pytest &` with these signals ignored. Ignored signals are inherited, handlers are not:
    with a handler that does nothing this process still survives them, and its children behave as anywhere else.
    """
    for number in (signal.SIGHUP, signal.SIGINT, signal.SIGQUIT):
        if signal.getsignal(number) is signal.SIG_IGN:
            signal.signal(number, lambda *_: None)


cache_bytecode()
reset_ignored_signals_in_children()
for name, examples in (("quick", 25), ("thorough", 300)):
    hypothesis_settings.register_profile(
        name,
        max_examples=examples,
        deadline=None,  # tests say what happens, not how fast
        suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
    )
hypothesis_settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "quick"))


@pytest.fixture
def folder() -> Iterator[Path]:
    """Yield a folder outside of pytest's, which another run of pytest closes to the user of PostgreSQL."""
    with tempfile.TemporaryDirectory(prefix="exo-home-", ignore_cleanup_errors=True) as created:
        yield Path(created)


@pytest.fixture(scope="session")
def postgres() -> Iterator[str]:
    """Yield the URI of a PostgreSQL server of this process, with `{}` in place of the database's name."""
    with running_postgres() as uri:
        yield uri


@pytest.fixture(scope="session")
def template(postgres: str) -> str:
    """Return the name of a migrated database to copy."""
    return create_template(postgres)


@pytest.fixture
def database_uri(postgres: str, template: str) -> Iterator[str]:
    """Yield a database for this test alone."""
    with fresh_database(postgres, template) as uri:
        yield uri


@pytest.fixture
def engine(database_uri: str) -> Iterator[Engine]:
    """Yield connections to this test's database."""
    engine = connect(database_uri)
    yield engine
    engine.dispose()


@pytest.fixture
def redis_uri() -> Iterator[str]:
    """Yield a Valkey for this test alone."""
    with fresh_redis() as uri:
        yield uri


@pytest.fixture(scope="session")
def shared_system(postgres: str, template: str) -> Iterator[System]:
    """Yield an API, beat and a worker with two children, started once for all tests of this process."""
    with fresh_system(postgres, template) as system:
        system.start_everything()
        yield system


@pytest.fixture
def system(shared_system: System) -> Iterator[System]:
    """Yield the shared system; what a test leaves running does not disturb the next one."""
    yield shared_system
    shared_system.cancel_everything()
