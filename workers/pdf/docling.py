"""The engine `docling`, an optional package: layout, tables and reading order.

Its standard pipeline runs models, which docling fetches from a hub unless DOCLING_ARTIFACTS_PATH has them; its native
pipeline runs none, and gives the text as it stands in the file.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

from docling.datamodel.backend_options import ThreadedDoclingParseBackendOptions
from docling.datamodel.base_models import ConversionStatus, InputFormat
from docling.datamodel.pipeline_options import PdfPipelineOptions
from docling.document_converter import DocumentConverter, NativePdfFormatOption, PdfFormatOption

from exospherehost import ConfigurationError
from workers.pdf.page import Page, Table, clean

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from workers.pdf.engines import Reading

PAGES_AT_A_TIME = 10
"""Pages that are converted together: docling keeps all that it converts in one call in memory."""


def convert(path: Path, reading: Reading, page_count: int) -> Iterator[Page]:
    """Convert a PDF; yield its pages. ConfigurationError where docling cannot convert it, or has no models."""
    converter = _converter(reading.docling_pipeline, reading.ocr, reading.password)
    for first in range(1, page_count + 1, PAGES_AT_A_TIME):
        last = min(first + PAGES_AT_A_TIME - 1, page_count)
        document = _convert(converter, path, (first, last))
        yield from (_page(document, number) for number in range(first, last + 1))


@cache
def _converter(pipeline: str, ocr: str, password: str | None) -> Any:
    """Make a converter, which loads its models once, at its first use."""
    access = {"backend_options": ThreadedDoclingParseBackendOptions(password=password)} if password else {}
    if pipeline == "native":
        option = NativePdfFormatOption(**access)
    else:
        options = PdfPipelineOptions(do_ocr=ocr != "never")
        options.ocr_options.force_full_page_ocr = ocr == "always"
        option = PdfFormatOption(pipeline_options=options, **access)
    return DocumentConverter(allowed_formats=[InputFormat.PDF], format_options={InputFormat.PDF: option})


def _convert(converter: Any, path: Path, pages: tuple[int, int]) -> Any:
    try:
        converted = converter.convert(path, page_range=pages, raises_on_error=False)
    except OSError as error:
        raise ConfigurationError(
            f"docling's models cannot be loaded ({type(error).__name__}): put them where DOCLING_ARTIFACTS_PATH says, "
            "or set docling_pipeline to native, which needs none"
        ) from None
    if converted.status not in {ConversionStatus.SUCCESS, ConversionStatus.PARTIAL_SUCCESS}:
        reasons = "; ".join(error.error_message for error in converted.errors)[:500]
        raise ConfigurationError(f"docling cannot convert pages {pages[0]} to {pages[1]}: {reasons}")
    return converted.document


def _page(document: Any, number: int) -> Page:
    text = clean(document.export_to_text(page_no=number))
    tables = tuple(_table(document, table) for table in document.tables if _is_on(table, number))
    pictured = any(_is_on(picture, number) for picture in document.pictures)
    markdown = clean(document.export_to_markdown(page_no=number))
    return Page(number, text, markdown, tables, needs_ocr=pictured and not text.strip())


def _is_on(item: Any, number: int) -> bool:
    return bool(item.prov) and item.prov[0].page_no == number


def _table(document: Any, table: Any) -> Table:
    rows = tuple(tuple(clean(cell.text) for cell in row) for row in table.data.grid)
    return Table(rows, clean(table.export_to_markdown(doc=document)))
