"""The environment of the parts of `run.py`: bytecode of their libraries is kept, whatever the surroundings say."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

import psutil

from local.parts import environment
from state_manager.config import Settings

if TYPE_CHECKING:
    from pathlib import Path

    import pytest


def libraries_have(bytecode: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(psutil.__spec__, "cached", str(bytecode))


def test_bytecode_goes_to_the_home_where_libraries_have_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    libraries_have(tmp_path / "nothing.pyc", monkeypatch)
    monkeypatch.setenv("PYTHONDONTWRITEBYTECODE", "1")
    environ = environment(Settings(home=tmp_path))
    assert environ["PYTHONPYCACHEPREFIX"] == str(tmp_path / "bytecode")
    subprocess.run([sys.executable, "-c", "import psutil"], env=environ, check=True)
    assert list((tmp_path / "bytecode").rglob("psutil/__init__.*.pyc"))


def test_bytecode_beside_the_libraries_is_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kept = tmp_path / "__init__.pyc"
    kept.touch()
    libraries_have(kept, monkeypatch)
    assert "bytecode" not in environment(Settings(home=tmp_path)).get("PYTHONPYCACHEPREFIX", "")
    assert not (tmp_path / "bytecode").exists()
