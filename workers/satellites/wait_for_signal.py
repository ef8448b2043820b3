"""`satellite/exospherehost/wait-for-signal`: waits for a signal from outside, and holds no worker meanwhile."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from uuid import UUID

from exospherehost import RequeueAfter, SatelliteError, satellite
from state_manager.store import signals
from workers.attempt.database import ask

if TYPE_CHECKING:
    from exospherehost import Context

KIND = "signal_timeout"
"""Its own kind of error: retried only where `retry_on` lists it. Another wait is seldom what is wanted."""

LONGEST_WAIT_S = 86_400.0
"""Seconds after which one without a timeout looks again; a signal wakes it at once."""

NAME = r"^[^/\x00-\x1f\x7f]{1,128}$"
"""What a signal may be called, as the API has it."""

SCHEMA = {
    "type": "object",
    "properties": {
        "name": {"type": "string", "pattern": NAME, "description": "name of the signal"},
        "timeout": {"type": "number", "exclusiveMinimum": 0, "description": "seconds to wait; default: for ever"},
    },
    "required": ["name"],
    "additionalProperties": False,
}


@satellite("satellite/exospherehost/wait-for-signal", config_schema=SCHEMA, kinds=[KIND])
def wait_for_signal(context: Context) -> Any:
    """Return the payload of the signal `name`; fail after `timeout` seconds, with the kind signal_timeout."""
    name, timeout_s = context.config["name"], context.config.get("timeout")
    satellite_id = UUID(context.satellite_id)
    looked = ask(lambda engine: signals.receive(engine, satellite_id, name, timeout_s=timeout_s))
    if looked.received:
        return looked.payload
    if looked.left_s == 0:
        raise SatelliteError(f"no signal {name!r} came within {timeout_s:g} s", kind=KIND)
    raise RequeueAfter(LONGEST_WAIT_S if looked.left_s is None else min(looked.left_s, LONGEST_WAIT_S))
