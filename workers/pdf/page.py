"""A page of a PDF as an engine read it. Pure."""

from __future__ import annotations

import re
from dataclasses import asdict, dataclass
from typing import Any

MARKDOWN_SPECIAL = re.compile(r"([\\`*_\[\]<>|])|^(\s*)([#+-])(?=\s)|^(\s*\d+)([.)])(?=\s)", re.MULTILINE)
CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\ud800-\udfff\uffff]")

HYPHEN = "\ufffe"
"""The character that PDFium writes for a hyphen at which a word is broken at the end of a line."""


@dataclass(frozen=True, slots=True)
class Page:
    """The text of one page."""

    number: int
    """From 1."""
    text: str
    markdown: str
    tables: tuple[Table, ...] = ()
    needs_ocr: bool = False
    """Whether there is something on it, but no text: a scan, which was not read."""
    ocr: bool = False
    """Whether the text was read from its picture."""

    def as_json(self) -> dict[str, Any]:
        """Return what the output shows of it; the markdown of the file stands beside the pages."""
        shown = asdict(self)
        del shown["markdown"]
        return shown | {"tables": [table.as_json() for table in self.tables]}


@dataclass(frozen=True, slots=True)
class Table:
    """A table: its rows of cells, and the same as Markdown."""

    rows: tuple[tuple[str, ...], ...]
    markdown: str

    def as_json(self) -> dict[str, Any]:
        """Return it as a JSON value."""
        return {"rows": [list(row) for row in self.rows], "markdown": self.markdown}


def clean(text: str) -> str:
    """Return a text with plain line ends and hyphens, without what JSON or PostgreSQL cannot keep."""
    return CONTROL.sub("", text.replace("\r\n", "\n").replace("\r", "\n").replace(HYPHEN, "-"))


def as_markdown(text: str) -> str:
    """Write a plain text as Markdown that shows just this text."""
    return MARKDOWN_SPECIAL.sub(_escape, text)


def _escape(found: re.Match[str]) -> str:
    special, indent, mark, number, dot = found.groups()
    if special:
        return f"\\{special}"
    return f"{indent}\\{mark}" if mark else f"{number}\\{dot}"
