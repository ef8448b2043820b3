"""The distribution is the client alone: built, and installed where nothing else is."""

from __future__ import annotations

import subprocess
import sys
import tomllib
import zipfile
from typing import TYPE_CHECKING

import pytest

from tests.processes import ROOT

if TYPE_CHECKING:
    from pathlib import Path

SERVER = ("flask", "celery", "sqlalchemy", "psycopg", "redis", "marshmallow", "api", "workers", "state_manager")
LOOK = f"""
from importlib.util import find_spec
import exospherehost, sys
assert not {{"httpx", "websockets", "rich"}} & set(sys.modules), "a satellite's author pays for no client"
import exospherehost.state_manager, exospherehost.command.main
print([name for name in {SERVER!r} if find_spec(name)])
"""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build it, which needs no network: the build backend comes with uv."""
    folder = tmp_path_factory.mktemp("wheel")
    run("uv", "build", "--quiet", "--wheel", "--out-dir", str(folder), str(ROOT))
    return next(folder.glob("*.whl"))


def run(*command: str, cwd: Path | None = None) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300, cwd=cwd)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_wheel_holds_the_client_and_nothing_of_the_server(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    assert {name.split("/")[0].split("-")[0] for name in names} == {"exospherehost"}
    assert "exospherehost/py.typed" in names


def test_installed_alone_it_imports_and_runs(wheel: Path, tmp_path: Path) -> None:
    home = tmp_path / "venv"
    run("uv", "venv", "--quiet", "--python", sys.executable, str(home))
    pins = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["uv"]["constraint-dependencies"]
    (tmp_path / "pins.txt").write_text("\n".join(pins))
    install = ("uv", "pip", "install", "--python", str(home), "--constraint", "pins.txt", str(wheel))
    installed = subprocess.run(install, capture_output=True, text=True, check=False, timeout=300, cwd=tmp_path)
    if installed.returncode and "fetch" in installed.stderr:
        pytest.skip(f"no package index is reachable: {installed.stderr[-200:]}")
    assert installed.returncode == 0, installed.stderr

    assert run(str(home / "bin/python"), "-I", "-c", LOOK, cwd=tmp_path) == "[]\n"
    assert "exit codes:" in run(str(home / "bin/exosphere"), "--help", cwd=tmp_path)
