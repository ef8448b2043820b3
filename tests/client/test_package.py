"""The distribution is the client alone: built, and installed where there is nothing but what it declares to need."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from email import message_from_bytes
from importlib.metadata import distribution
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from tests.processes import ROOT

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
    run("uv", "pip", "install", "--quiet", "--offline", "--no-deps", "--python", str(home), str(wheel))
    site_packages = next(home.glob("lib/python*/site-packages"))
    for name in required(metadata(wheel)):
        link_distribution(name, site_packages)

    assert run(str(home / "bin/python"), "-I", "-c", LOOK, cwd=tmp_path) == "[]\n"
    assert "exit codes:" in run(str(home / "bin/exosphere"), "--help", cwd=tmp_path)


def metadata(wheel: Path) -> list[str]:
    """Return what the wheel declares to need."""
    with zipfile.ZipFile(wheel) as archive:
        name = next(name for name in archive.namelist() if name.endswith(".dist-info/METADATA"))
        return message_from_bytes(archive.read(name)).get_all("Requires-Dist", [])


def required(declared: list[str]) -> set[str]:
    """Return the distributions that these requirements bring along, which are installed here in fitting versions."""
    found: set[str] = set()
    waiting = [Requirement(one) for one in declared]
    while waiting:
        needed = waiting.pop()
        if needed.marker is not None and not needed.marker.evaluate({"extra": ""}):
            continue
        installed = distribution(needed.name)
        assert installed.version in needed.specifier
        if needed.name not in found:
            found.add(needed.name)
            waiting += [Requirement(one) for one in installed.requires or []]
    return found


def link_distribution(name: str, site_packages: Path) -> None:
    """Link an installed distribution into another environment: installing it would need a network."""
    installed = distribution(name)
    for top in {file.parts[0] for file in installed.files or [] if file.parts[0] not in {"..", "__pycache__"}}:
        (site_packages / top).symlink_to(Path(str(installed.locate_file(top))))
