"""The satellite types that this worker can run: built in, from SATELLITE_MODULES, and from installed packages."""

from __future__ import annotations

import importlib
import pkgutil
from functools import cache
from importlib.metadata import entry_points
from typing import TYPE_CHECKING

from exospherehost import ConfigurationError
from exospherehost.satellites import registered
from state_manager.config import settings
from workers import satellites as built_in

if TYPE_CHECKING:
    from collections.abc import Mapping

    from exospherehost.satellites import SatelliteDefinition

ENTRY_POINTS = "exospherehost.satellites"


class UnusableModule(Exception):
    """A module of satellites cannot be imported, or defines them wrongly."""


@cache
def discover() -> Mapping[str, SatelliteDefinition]:
    """Import every module that may define satellites, and return them by identifier. Raises UnusableModule."""
    for module in pkgutil.iter_modules(built_in.__path__, f"{built_in.__name__}."):
        _import(module.name, "the built-in satellites")
    for name in settings().satellite_modules:
        _import(name, "SATELLITE_MODULES")
    for entry in entry_points(group=ENTRY_POINTS):
        _import(entry.module, f"the entry point {entry.name!r}")
    return registered()


def find(identifier: str) -> SatelliteDefinition:
    """Look up a satellite type; ConfigurationError where this worker does not have it."""
    try:
        return discover()[identifier]
    except KeyError:
        message = (
            f"this worker does not know {identifier}: is its module in the worker's SATELLITE_MODULES, "
            "or does it belong on a queue of its own?"
        )
        raise ConfigurationError(message) from None


def _import(name: str, source: str) -> None:
    try:
        importlib.import_module(name)
    except Exception as error:
        raise UnusableModule(f"{source}: cannot import {name}: {type(error).__name__}: {error}") from error
