"""Recognition of text in pictures by RapidOCR, an optional package whose models come with it."""

from __future__ import annotations

import logging
from functools import cache
from importlib.util import find_spec
from threading import Lock
from typing import Any

EXTRA = "this worker has no OCR: install the extra `ocr` (uv sync --extra ocr, or pip install 'exospherehost[ocr]')"

_lock = Lock()


def is_installed() -> bool:
    """Tell whether the optional package is there, without importing it."""
    return find_spec("rapidocr") is not None and find_spec("onnxruntime") is not None


def recognise(picture: Any) -> str:
    """Read the text in a picture (an array of height, width and colours), a line a line, from top to bottom."""
    with _lock:
        read = _engine()(picture)
    return "\n".join(read.txts or ())


@cache
def _engine() -> Any:
    """Load the models, once a process: that takes seconds."""
    from rapidocr import RapidOCR  # noqa: PLC0415  (optional, and slow to import)

    logging.getLogger("RapidOCR").setLevel(logging.WARNING)
    return RapidOCR(params={"Global.log_level": "warning"})
