"""The engine `pypdfium2`: the text layer of a PDF by PDFium, and the pictures of its pages for OCR.

PDFium may be used by one thread at a time, whatever the document: each function here holds `LOCK`, and nothing of
PDFium's is left to the garbage collector, which may run in any thread.
"""

from __future__ import annotations

from contextlib import closing, contextmanager
from threading import RLock
from typing import TYPE_CHECKING, Any

import pypdfium2
from pypdfium2 import raw

from exospherehost import ConfigurationError
from workers.pdf.page import Page, as_markdown, clean

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

LOCK = RLock()

DPI = 200
"""Resolution of the pictures for OCR: what recognisers of text are trained for."""

PICTURE_PIXELS = 16_000_000
"""Most pixels of a picture (a page of A4 has 3.9 million): a page may be as large as its author likes."""

POINTS_PER_INCH = 72


class PdfiumDocument:
    """An open PDF. Its pages are read one at a time, and closed again."""

    def __init__(self, document: pypdfium2.PdfDocument) -> None:
        self._document = document
        with LOCK:
            self.page_count = len(document)

    def read_page(self, index: int, recognise: Callable[[Any], str] | None, *, always: bool = False) -> Page:
        """Read a page, from 0. `recognise` reads pictures: of pages that are without text, or `always`.

        Raises ConfigurationError where the page is broken.
        """
        with LOCK:
            try:
                page = self._document[index]
            except pypdfium2.PdfiumError as error:
                raise ConfigurationError(f"page {index + 1} is broken: {error}") from None
            with closing(page):
                text = _text_of(page)
                scanned = not text.strip() and raw.FPDFPage_CountObjects(page) > 0
                wanted = recognise is not None and (always or scanned)
                picture = _picture_of(page) if wanted else None
        if picture is None or recognise is None:
            return Page(index + 1, text, as_markdown(text), needs_ocr=scanned)
        text = clean(recognise(picture))
        return Page(index + 1, text, as_markdown(text), ocr=True)


@contextmanager
def open_pdf(path: Path, password: str | None) -> Iterator[PdfiumDocument]:
    """Open a PDF; ConfigurationError where it is none, is broken, or needs another password."""
    with LOCK:
        try:
            document = pypdfium2.PdfDocument(path, password=password)
        except pypdfium2.PdfiumError as error:
            raise _unreadable(error, password) from None
    try:
        yield PdfiumDocument(document)
    finally:
        with LOCK:
            document.close()


def _unreadable(error: pypdfium2.PdfiumError, password: str | None) -> ConfigurationError:
    if error.err_code != raw.FPDF_ERR_PASSWORD:
        return ConfigurationError("it is no PDF, or broken beyond repair")
    if password is None:
        return ConfigurationError("it is encrypted: its password is needed (password)")
    return ConfigurationError("it is encrypted, and not with this password")


def _text_of(page: pypdfium2.PdfPage) -> str:
    with closing(page.get_textpage()) as layer:
        # The text within the page's borders; where all of it is outside of them, that is better than nothing.
        return clean(layer.get_text_bounded() or layer.get_text_range())


def _picture_of(page: pypdfium2.PdfPage) -> Any:
    """Render a page as an array of its pixels, which PDFium does not own."""
    width, height = page.get_size()
    scale = min(DPI / POINTS_PER_INCH, (PICTURE_PIXELS / max(width * height, 1)) ** 0.5)
    with closing(page.render(scale=scale)) as bitmap:
        return bitmap.to_numpy().copy()
