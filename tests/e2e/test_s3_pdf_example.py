"""The example from a bucket to text runs in one command, with the PDFs beside it and with real ones."""

from __future__ import annotations

import json
import shutil
from typing import TYPE_CHECKING, Any

import pytest

from tests.files.pdfs import real_pdfs
from tests.processes import ROOT, Process, free_port, python

if TYPE_CHECKING:
    from pathlib import Path

RUN_WITHIN_S = 110.0
REAL = 20
UNREADABLE = ("encrypt", "password", "newline-buffer", "378014596")
"""In the names of PDFs that cannot be read without a password, or not at all."""


def results(home: Path, *arguments: str) -> dict[str, Any]:
    environment = {"EXOSPHERE_HOME": str(home), "PORT": str(free_port()), "DATABASE_URI": "", "REDIS_URI": ""}
    with Process(python(str(ROOT / "examples/s3-pdf/run.py"), *arguments), environment) as example:
        assert example.wait(RUN_WITHIN_S) == 0, example.output
        output = example.output
        execution, _ = json.JSONDecoder().raw_decode(output, output.index("\n{") + 1)
    found: dict[str, Any] = execution["results"]["data-processing"]
    return found


def test_pdfs_in_a_bucket_become_text(folder: Path) -> None:
    output = results(folder / "home")
    assert {one["uri"]: one["text"] for one in output["files"]} == {
        "s3://my-data-bucket/invoice.pdf": "Invoice 2026-11\nParsing of pages: 4\nTotal: 0.00",
        "s3://my-data-bucket/letter.pdf": "Dear reader,\nthis letter came from a bucket.",
        "s3://my-data-bucket/minutes.pdf": "Minutes of the meeting\nPresent: everybody\n\nDecided: to read PDFs",
    }


@pytest.mark.timeout(240)
def test_twenty_real_pdfs_in_a_bucket_become_text(folder: Path) -> None:
    readable = [path for name, path in real_pdfs().items() if not any(word in name for word in UNREADABLE)]
    chosen = sorted(readable, key=lambda path: path.stat().st_size)[:REAL]
    (folder / "pdfs").mkdir()
    for path in chosen:
        shutil.copy(path, folder / "pdfs")
    output = results(folder / "home", str(folder / "pdfs"), "--full")
    assert (output["count"], output["failed"], output["skipped"]) == (REAL, 0, [])
    assert all(one["page_count"] >= 1 for one in output["files"])
