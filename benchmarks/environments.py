"""Throw-away environments for what this project itself does not need, under `.cache/benchmarks`."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

CACHE = Path(__file__).parent.parent / ".cache" / "benchmarks"
PLOTTING = ("matplotlib",)


class CannotInstall(Exception):
    """It can't be installed here; the text says why."""


def python(requirements: Sequence[str], node_packages: Sequence[str] = ()) -> str:
    """Return a Python that has these, made when first asked for; our own where nothing is asked for.

    Node's packages lie in `node_modules` beside its `bin`. Raises `CannotInstall`.
    """
    if not requirements:
        return sys.executable
    home = CACHE / requirements[0].partition("==")[0]
    interpreter, mark = home / "bin" / "python", home / "installed.txt"
    wanted = "\n".join((sys.version, *requirements, *node_packages))
    if not (mark.exists() and mark.read_text() == wanted):
        CACHE.mkdir(parents=True, exist_ok=True)
        (CACHE / ".gitignore").write_text("*\n")
        shutil.rmtree(home, ignore_errors=True)
        _run("uv", "venv", "--python", sys.executable, str(home))
        _run("uv", "pip", "install", "--python", str(interpreter), *requirements)
        if node_packages:
            _run("npm", "install", "--ignore-scripts", "--no-fund", "--no-audit", "--prefix", str(home), *node_packages)
        mark.write_text(wanted)
    return str(interpreter)


def _run(*command: str) -> None:
    # Not from this folder, whose pyproject.toml holds exact versions for this project alone.
    try:
        done = subprocess.run(command, cwd=tempfile.gettempdir(), capture_output=True, text=True, check=False)
    except FileNotFoundError:
        raise CannotInstall(f"there is no {command[0]} here") from None
    if done.returncode:
        raise CannotInstall(" ".join(done.stderr.split())[-400:])
