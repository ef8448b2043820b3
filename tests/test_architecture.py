"""Rules for the code as a whole: the only reader of the environment, the consumers of messages, the imports."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from alembic.script import ScriptDirectory

from state_manager.store import migrate, schema
from workers import celery_signals, registry
from workers.app import app

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parent.parent
CODE = ("api", "exospherehost", "local", "state_manager", "workers")
LONGEST_FILE = 300
READERS_OF_THE_ENVIRONMENT = {
    "state_manager/config.py",
    "exospherehost/state_manager/client.py",  # a program of its own, on its user's machine
}
SLEEPERS = {
    "tests/waiting.py",  # waits for conditions, on behalf of all others
    "tests/satellites.py",  # satellites that take their time
    "tests/unit/test_interrupts.py",  # code that is interrupted in its sleep
    "tests/workers/test_watchdog.py",  # the same
}


def test_imports_go_one_way() -> None:
    command = [str(Path(sys.executable).parent / "lint-imports"), "--no-cache"]
    linted = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert linted.returncode == 0, linted.stdout + linted.stderr


def test_one_module_reads_the_environment() -> None:
    readers = {path for path, tree in _modules(*CODE) if _uses(tree, "os", "environ") or _uses(tree, "os", "getenv")}
    assert readers == READERS_OF_THE_ENVIRONMENT


def test_no_file_is_longer_than_one_reads() -> None:
    files = [path for folder in CODE for kind in ("*.py", "*.sql") for path in (ROOT / folder).rglob(kind)]
    lengths = {path.relative_to(ROOT).as_posix(): len(path.read_text("utf-8").splitlines()) for path in files}
    assert {path: length for path, length in lengths.items() if length > LONGEST_FILE} == {}


def test_every_module_says_what_it_is_for() -> None:
    assert [path for path, tree in _modules(*CODE, "examples", "benchmarks") if not ast.get_docstring(tree)] == []


def test_tests_wait_for_conditions_and_never_for_time() -> None:
    sleepers = {path for path, tree in _modules("tests") if _uses(tree, "time", "sleep")}
    assert sleepers == SLEEPERS


def test_tests_replace_nothing_by_a_mock() -> None:
    for path, tree in _modules("tests"):
        imported = {
            name
            for node in ast.walk(tree)
            if isinstance(node, ast.Import | ast.ImportFrom)
            for name in [getattr(node, "module", None), *(alias.name for alias in node.names)]
        }
        assert not imported & {"mock", "unittest.mock", "pytest_mock"}, path


def test_every_sql_file_is_loaded() -> None:
    there = {path.stem for path in (Path(migrate.__file__).parent / "sql").glob("*.sql")}
    assert set(migrate.FUNCTIONS) == there


def test_worker_takes_the_messages_of_every_satellite_type() -> None:
    told = app.conf.task_queues
    try:
        celery_signals.choose_queues({})
        taken = {queue.name for queue in app.conf.task_queues}
    finally:
        app.conf.task_queues = told
    assert taken >= {definition.queue for definition in registry.discover().values()} | {app.conf.task_default_queue}


@pytest.mark.parametrize("line", [line for line in (ROOT / "Procfile").read_text().splitlines() if " worker" in line])
def test_started_workers_choose_their_queues_themselves(line: str) -> None:
    assert not {"-Q", "--queues"} & set(line.split())


@pytest.mark.parametrize("module", ["api.app", "workers.__main__", "workers.celery_signals", "workers.beat", "run"])
def test_parts_load_nothing_that_is_for_other_programs(module: str) -> None:
    code = f"import sys, {module}; print(*{{name.partition('.')[0] for name in sys.modules}})"
    loaded = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert set(loaded.stdout.split()) & {"alembic", "flower", "prompt_toolkit", "hypothesis"} == set()


def test_newest_migration_is_the_one_that_alembic_ends_with() -> None:
    scripts = ScriptDirectory(str(schema.VERSIONS.parent))
    assert scripts.get_heads() == [schema.newest()]


def _modules(*folders: str) -> Iterator[tuple[str, ast.Module]]:
    for folder in folders:
        for path in sorted((ROOT / folder).rglob("*.py")):
            yield path.relative_to(ROOT).as_posix(), ast.parse(path.read_text(encoding="utf-8"))


def _uses(tree: ast.Module, module: str, attribute: str) -> bool:
    return any(
        isinstance(node, ast.Attribute)
        and node.attr == attribute
        and isinstance(node.value, ast.Name)
        and node.value.id == module
        for node in ast.walk(tree)
    )
