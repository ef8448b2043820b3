"""The result for a PDF, collected in files page by page: small ones go into the output, large ones become artifacts."""

from __future__ import annotations

import json
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping
    from pathlib import Path
    from typing import IO

    from exospherehost import Context
    from workers.pdf.page import Page

PARTS = {"text": "txt", "markdown": "md", "pages": "jsonl"}
"""The parts of a result, and the ends of the names of their artifacts: `pages` has a JSON value a line."""

PAGE_BREAK = "\n\n"


@contextmanager
def collected(folder: Path, parts: Collection[str]) -> Iterator[Result]:
    """Yield a result that keeps its parts in files of this folder."""
    with ExitStack() as stack:
        yield Result(
            {part: stack.enter_context((folder / part).open("w+", encoding="utf-8", newline="\n")) for part in parts}
        )


class Result:
    """What was read of one PDF so far. Nothing of it is kept in memory."""

    def __init__(self, files: Mapping[str, IO[str]]) -> None:
        self.page_count = 0
        self.pages_without_text = 0
        """The number of pages that have something on them, but no text."""
        self.output_bytes = 0
        """The size of the parts in an output, as JSON."""
        self._files = files

    def add(self, page: Page) -> None:
        """Add the next page."""
        self.page_count += 1
        self.pages_without_text += page.needs_ocr
        for part, file in self._files.items():
            text = _written(part, page)
            file.write(text)
            self.output_bytes += len((text if part == "pages" else json.dumps(text, ensure_ascii=False)).encode())

    def inline(self) -> dict[str, Any]:
        """Return the parts as they stand in an output."""
        return {part: _load(part, file) for part, file in self._files.items()}

    def as_artifacts(self, context: Context, name: str) -> dict[str, Any]:
        """Keep the parts as artifacts, and return the references."""
        for file in self._files.values():
            file.flush()
        return {part: context.put_artifact(f"{name}.{PARTS[part]}", file.name) for part, file in self._files.items()}


def _written(part: str, page: Page) -> str:
    if part == "pages":
        return json.dumps(page.as_json(), ensure_ascii=False) + "\n"
    return (page.text if part == "text" else page.markdown).strip() + PAGE_BREAK


def _load(part: str, file: IO[str]) -> Any:
    file.seek(0)
    return [json.loads(line) for line in file] if part == "pages" else file.read().strip()
