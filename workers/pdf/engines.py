"""The engines that read a PDF, page by page, under one signature."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from exospherehost import ConfigurationError
from workers.pdf import ocr
from workers.pdf.pdfium import open_pdf

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from workers.pdf.page import Page


@dataclass(frozen=True, slots=True)
class Reading:
    """How a PDF is to be read."""

    engine: str
    ocr: str
    """`auto`: pages without text, where OCR is installed; `always`: all pages; `never`."""
    password: str | None
    docling_pipeline: str

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> Reading:
        """Read a configuration; ConfigurationError where it needs an extra that is not installed."""
        reading = cls(
            config.get("engine", "pypdfium2"),
            config.get("ocr", "auto"),
            config.get("password"),
            config.get("docling_pipeline", "standard"),
        )
        if reading.ocr == "always" and not ocr.is_installed():
            raise ConfigurationError(ocr.EXTRA)
        return reading


@contextmanager
def read_pages(path: Path, reading: Reading) -> Iterator[tuple[int, Iterator[Page]]]:
    """Open a PDF; yield the number of its pages, and its pages, each read when it is asked for.

    Raises ConfigurationError, without the file's name, where it is broken or encrypted.
    """
    with open_pdf(path, reading.password) as document:
        if reading.engine == "docling":
            from workers.pdf.docling import convert  # noqa: PLC0415  (optional, and slow to import)

            yield document.page_count, convert(path, reading, document.page_count)
            return
        recognise = ocr.recognise if reading.ocr != "never" and ocr.is_installed() else None
        always = reading.ocr == "always"
        yield (
            document.page_count,
            (document.read_page(index, recognise, always=always) for index in range(document.page_count)),
        )
