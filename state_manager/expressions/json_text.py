"""Values as JSON text, as expressions render them."""

from __future__ import annotations

import json
from typing import Any


def json_text(value: Any) -> str:
    """Write a value as compact JSON; raises ValueError or TypeError where it is none."""
    return json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
