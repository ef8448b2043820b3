"""A run of a satellite as a function call, with the context that a worker would give it."""

from __future__ import annotations

import asyncio
import inspect
import logging
from typing import Any

from exospherehost import Context, satellites
from workers import registry

ATTEMPT = {"execution_id": "e", "satellite_id": "s", "name": "n", "attempt": 1}


def run(name: str, config: dict[str, Any], given: dict[str, Any] | None = None, **more: Any) -> Any:
    """Run a built-in satellite, and return its output."""
    registry.discover()
    returned = satellites.registered()[f"satellite/exospherehost/{name}"].function(context(config, given, **more))
    return asyncio.run(returned) if inspect.iscoroutine(returned) else returned


def context(config: dict[str, Any], given: dict[str, Any] | None = None, **more: Any) -> Context:
    """Make a context."""
    log = logging.getLogger("test")
    return Context(config=config, input=given or {}, log=log, **{"cancelled": lambda: False, **ATTEMPT, **more})
