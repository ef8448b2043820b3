"""`satellite/exospherehost/sleep`: sleeps for the configured number of seconds."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from exospherehost import satellite

if TYPE_CHECKING:
    from exospherehost import Context

SCHEMA = {
    "type": "object",
    "properties": {"seconds": {"type": "number", "minimum": 0}},
    "required": ["seconds"],
    "additionalProperties": False,
}


@satellite("satellite/exospherehost/sleep", config_schema=SCHEMA)
def sleep(context: Context) -> dict[str, float]:
    """Sleep for `seconds`, and return them."""
    time.sleep(context.config["seconds"])
    return {"seconds": context.config["seconds"]}
