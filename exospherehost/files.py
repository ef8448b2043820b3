"""Files that appear whole, and names of files."""

from __future__ import annotations

import re
from contextlib import contextmanager
from typing import TYPE_CHECKING, BinaryIO
from uuid import uuid4

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@contextmanager
def appearing(path: Path) -> Iterator[BinaryIO]:
    """Open a file to be written, which replaces the one at the path at the end of the block, or not at all."""
    partial = path.with_name(f".{uuid4()}.part")
    try:
        with partial.open("w+b") as file:
            yield file
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def file_name(name: str) -> str:
    """Make the name of a file of any name, so that it leads nowhere else."""
    return "_" if name in {"", ".", ".."} else re.sub(r"[/\\\x00-\x1f]", "_", name)
