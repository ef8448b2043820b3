"""`satellite/exospherehost/parse-pdf-with-docling`: the text of PDFs, page by page."""

from __future__ import annotations

import asyncio
import tempfile
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from exospherehost import ConfigurationError, Unavailable, satellite
from state_manager.config import settings
from workers.files.download import Reference, download
from workers.files.stores import ACCESS_SCHEMA
from workers.pdf import ocr
from workers.pdf.inputs import files_to_read
from workers.pdf.results import PARTS, Result, collected

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from exospherehost import Context

_REFERENCE = {
    "anyOf": [
        {"type": "string"},
        {"type": "object", "properties": {"uri": {"type": "string"}}, "required": ["uri"]},
    ]
}

SCHEMA = {
    "type": "object",
    "properties": {
        "uri": {"type": "string"},
        "files": {"type": "array", "items": _REFERENCE},
        "engine": {"enum": ["pypdfium2", "docling"]},
        "docling_pipeline": {"enum": ["standard", "native"]},
        "ocr": {"enum": ["auto", "always", "never"]},
        "parts": {"type": "array", "items": {"enum": list(PARTS)}, "minItems": 1, "uniqueItems": True},
        "password": {"type": "string"},
        "on_error": {"enum": ["fail", "skip"]},
        "inline_bytes": {"type": "integer", "minimum": 0},
        "max_file_bytes": {"type": "integer", "minimum": 1},
        **ACCESS_SCHEMA,
    },
    "dependentSchemas": {"uri": {"properties": {"files": False}}},
    "additionalProperties": False,
}

DOCLING = (
    "this worker has no docling: install the extra `docling` "
    "(uv sync --extra docling, or pip install 'exospherehost[docling]')"
)

INLINE_BYTES = 64 * 2**10
MAX_FILE_BYTES = 2**30

NAME_CHARACTERS = 200

ENTRY_BYTES = 2000
"""Kept free in the output for each file's entry, beside its text."""


def _unavailable() -> Iterator[Unavailable]:
    if find_spec("docling") is None:
        yield Unavailable(DOCLING, {"engine": "docling"})
    if not ocr.is_installed():
        yield Unavailable(ocr.EXTRA, {"ocr": "always"})


@satellite("satellite/exospherehost/parse-pdf-with-docling", config_schema=SCHEMA, unavailable=list(_unavailable()))
async def parse_pdf_with_docling(context: Context) -> dict[str, Any]:
    """Read the PDFs that the configuration names, or else those in the outputs of the dependencies.

    Returns `files`, an entry for each in order; their `count`; how many of them `failed` (with `on_error: skip`); and
    the URIs that were `skipped`, since they are no PDFs by their names.
    """
    wanted = files_to_read(context)
    parser = _Parser(context, len(wanted.files))
    entries = [await parser.parse(index, one) for index, one in enumerate(wanted.files)]
    return {
        "files": entries,
        "count": len(entries),
        "failed": sum("error" in entry for entry in entries),
        "skipped": list(wanted.skipped),
    }


class _Parser:
    """Reads one file after the other, and knows how much room is left in the output."""

    def __init__(self, context: Context, total: int) -> None:
        from workers.pdf.engines import Reading  # noqa: PLC0415  (pypdfium2 takes half a second to import)

        self._context = context
        self._config: Mapping[str, Any] = context.config
        self._reading = Reading.from_config(context.config)
        self._access = {name: self._config[name] for name in ACCESS_SCHEMA if name in self._config}
        self._total = total
        self._room = settings().max_output_bytes - ENTRY_BYTES * (total + 1)

    async def parse(self, index: int, reference: Reference) -> dict[str, Any]:
        """Read a file, and return its entry in the output."""
        uri = reference.location.uri
        with (
            tempfile.TemporaryDirectory(prefix="exo-pdf-") as folder,
            collected(Path(folder), self._config.get("parts", PARTS)) as result,
        ):
            try:
                etag = await self._read(index, reference, Path(folder, "file.pdf"), result)
            except ConfigurationError as error:
                message = str(error) if uri in str(error) else f"{uri}: {error}"
                if self._config.get("on_error") != "skip":
                    raise ConfigurationError(message) from None
                self._context.log.warning("%s", message)
                return {"uri": uri, "error": message}
            return self._entry(index, reference, result) | {"etag": etag}

    async def _read(self, index: int, reference: Reference, path: Path, result: Result) -> str | None:
        """Read a file into the result, and return its etag."""
        from workers.pdf.engines import read_pages  # noqa: PLC0415

        limit = self._config.get("max_file_bytes", MAX_FILE_BYTES)
        etag = await download(reference, self._access, path, max_bytes=limit)
        with read_pages(path, self._reading) as (page_count, pages):
            for page in pages:
                result.add(page)
                fraction = (index + result.page_count / page_count) / self._total
                message = f"{reference.name}: page {result.page_count} of {page_count}"
                self._context.progress(min(fraction, 1), message)
                await asyncio.sleep(0)  # where an interruption comes through
        self._context.log.info("%s: %d pages read", reference.location.uri, result.page_count)
        return etag

    def _entry(self, index: int, reference: Reference, result: Result) -> dict[str, Any]:
        entry = {
            "uri": reference.location.uri,
            "page_count": result.page_count,
            "needs_ocr": result.pages_without_text > 0,
            "pages_without_text": result.pages_without_text,
        }
        if result.output_bytes <= min(self._room, self._config.get("inline_bytes", INLINE_BYTES)):
            self._room -= result.output_bytes
            return entry | result.inline()
        return entry | {"artifacts": result.as_artifacts(self._context, _artifact_name(index, reference))}


def _artifact_name(index: int, reference: Reference) -> str:
    """Name a file's artifacts so that files of one name in two folders do not replace each other's."""
    printable = "".join(character if character.isprintable() else "_" for character in reference.name)
    return f"{index:05}-{printable}"[:NAME_CHARACTERS]
