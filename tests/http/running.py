"""The failure of a satellite, and everything that it shows."""

from __future__ import annotations

import traceback
from typing import Any

import pytest

from tests.files.running import run


def failure(name: str, config: dict[str, Any], given: dict[str, Any] | None = None, **more: Any) -> Exception:
    """Run a satellite that fails, and return its error."""
    with pytest.raises(Exception) as failed:  # noqa: PT011  (the test says which)
        run(name, config, given, **more)
    return failed.value


def everything_shown(error: BaseException) -> str:
    """Return what logs and the API would show of an error."""
    return "".join(traceback.format_exception(error)) + repr(error)
