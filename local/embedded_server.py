"""An embedded server: its program comes with a Python package, and its data is stored in the home directory."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.metadata import files
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from local.processes import Part


@dataclass(frozen=True, slots=True)
class EmbeddedServer:
    """A server as a part of the system, with its address and a check whether it accepts clients."""

    part: Part
    uri: str
    accepts_clients: Callable[[], bool]


def packaged_file(package: str, end: str) -> Path:
    """Find a file of an installed package by the end of its path, without importing the package."""
    return Path(next(file for file in files(package) or () if str(file).endswith(end)).locate())
