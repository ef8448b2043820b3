"""`satellite/exospherehost/echo`: returns its configuration and its input."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from exospherehost import satellite

if TYPE_CHECKING:
    from exospherehost import Context


@satellite("satellite/exospherehost/echo")
def echo(context: Context) -> dict[str, Any]:
    """Return the configuration and the input."""
    return {"config": context.config, "input": context.input}
