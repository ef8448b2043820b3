"""Messages to the person at the terminal; standard output is for results."""

from __future__ import annotations

import sys


def print_message(line: str) -> None:
    """Write a line to standard error."""
    print(line, file=sys.stderr, flush=True)  # noqa: T201
