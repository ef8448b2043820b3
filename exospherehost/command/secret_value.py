"""The value of a secret as `exosphere secrets set` gets it: never from the command line, which other users can read."""

from __future__ import annotations

import getpass
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path


def read_value(file: Path | None) -> str:
    """Read a value from a file, from standard input, or, if that is a terminal, from a prompt that does not show it.

    One line feed at the end is dropped, which editors and `echo` add. Raises OSError, and UnicodeDecodeError.
    """
    if file is None and sys.stdin.isatty():
        return getpass.getpass("value (not shown): ")
    data = sys.stdin.buffer.read() if file is None else file.read_bytes()
    return data.decode().removesuffix("\n").removesuffix("\r")
