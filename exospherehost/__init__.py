"""The public API for authors of satellites and clients of the State Manager. Imports no part of the server."""

from exospherehost.context import Context
from exospherehost.errors import (
    ConfigurationError,
    LogicError,
    Prune,
    RequeueAfter,
    ResourceError,
    SatelliteError,
    TransientError,
)
from exospherehost.satellites import Unavailable, satellite

__all__ = [
    "ConfigurationError",
    "Context",
    "LogicError",
    "Prune",
    "RequeueAfter",
    "ResourceError",
    "SatelliteError",
    "TransientError",
    "Unavailable",
    "satellite",
]
