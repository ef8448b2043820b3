"""parse-pdf-with-docling reads PDFs made here and real ones, in bounded memory, and names what it cannot read."""

from __future__ import annotations

import json
import subprocess
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest
from jsonschema import Draft202012Validator

from exospherehost import ConfigurationError
from exospherehost.artifacts import Artifacts
from state_manager.config import settings
from tests.files.pdfs import make_pdf, make_scan, real_pdfs
from tests.files.running import run
from tests.processes import ROOT, python
from workers.pdf import ocr
from workers.satellites.parse_pdf_with_docling import SCHEMA

if TYPE_CHECKING:
    from pathlib import Path

    from tests.files.s3 import S3Server

REAL_PDFS_WITH_TEXT = 60
ENCRYPTED = "crazyones-encrypted-256.pdf"
WITH_OCR = pytest.mark.skipif(not ocr.is_installed(), reason="the extra `ocr` is not installed")
WITHOUT_OCR = pytest.mark.skipif(ocr.is_installed(), reason="the extra `ocr` is installed")


def parse(config: dict[str, Any], given: dict[str, Any] | None = None, **more: Any) -> Any:
    return run("parse-pdf-with-docling", config, given, **more)


def parse_file(path: Path, **config: Any) -> dict[str, Any]:
    (entry,) = parse({"uri": path.as_uri(), **config})["files"]
    return dict(entry)


def failure(config: dict[str, Any], given: dict[str, Any] | None = None) -> str:
    with pytest.raises(ConfigurationError) as failed:
        parse(config, given)
    return str(failed.value)


@pytest.fixture
def letter(tmp_path: Path) -> Path:
    return make_pdf(tmp_path / "a letter.pdf", [["Dear reader,", "1. first"], ["# no heading", "*the* end"]])


def test_text_comes_by_page_and_as_a_whole(letter: Path) -> None:
    assert parse_file(letter) == {
        "uri": letter.as_uri(),
        "etag": parse_file(letter)["etag"],
        "page_count": 2,
        "needs_ocr": False,
        "pages_without_text": 0,
        "text": "Dear reader,\n1. first\n\n# no heading\n*the* end",
        "markdown": "Dear reader,\n1\\. first\n\n\\# no heading\n\\*the\\* end",
        "pages": [
            {"number": 1, "text": "Dear reader,\n1. first", "tables": [], "needs_ocr": False, "ocr": False},
            {"number": 2, "text": "# no heading\n*the* end", "tables": [], "needs_ocr": False, "ocr": False},
        ],
    }


def test_parts_choose_what_is_returned(letter: Path) -> None:
    assert parse_file(letter, parts=["markdown"]).keys() >= {"uri", "page_count", "markdown"}
    assert not parse_file(letter, parts=["markdown"]).keys() & {"text", "pages"}


def test_references_come_from_the_dependencies(letter: Path, s3: S3Server) -> None:
    s3.put("letters", {"a.pdf": letter.read_bytes(), "b.PDF": letter.read_bytes(), "notes.txt": b"no PDF"})
    listed = run("get-files-from-s3", {"bucket": "letters", **s3.config})
    output = parse(dict(s3.access), {"data-ingestion": listed, "other": {"count": 3}})
    assert [one["uri"] for one in output["files"]] == ["s3://letters/a.pdf", "s3://letters/b.PDF"]
    assert (output["count"], output["failed"], output["skipped"]) == (2, 0, ["s3://letters/notes.txt"])
    assert output["files"][0]["text"].startswith("Dear reader,")


@pytest.mark.parametrize("wrap", [lambda one: one, lambda one: [one], lambda one: [{"files": [one]}]])
def test_reference_may_come_alone_or_in_lists(letter: Path, wrap: Any) -> None:
    assert parse({}, {"file": wrap({"uri": letter.as_uri()})})["count"] == 1


def test_nothing_listed_is_nothing_to_do() -> None:
    assert parse({}, {"list": {"files": [], "count": 0}}) == {"files": [], "count": 0, "failed": 0, "skipped": []}


def test_nothing_to_read_is_an_error_that_names_the_dependencies() -> None:
    assert "no output of a dependency ('other') has files" in failure({}, {"other": {"words": 3}})


def test_broken_file_is_named(tmp_path: Path) -> None:
    broken = tmp_path / "broken.pdf"
    broken.write_bytes(b"%PDF-1.7\nand nothing else")
    assert failure({"uri": broken.as_uri()}) == f"{broken.as_uri()}: it is no PDF, or broken beyond repair"


def test_file_that_is_not_there_is_named(s3: S3Server, tmp_path: Path) -> None:
    s3.put("empty", {})
    assert (
        failure({"uri": "s3://empty/gone.pdf", **s3.config}) == "s3://empty/gone.pdf: it does not exist (404 NoSuchKey)"
    )
    assert failure({"uri": (tmp_path / "gone.pdf").as_uri()}).endswith("gone.pdf: it does not exist (404)")


def test_too_large_a_file_is_refused_before_it_is_read(letter: Path) -> None:
    assert "at most 100 are read (max_file_bytes)" in failure({"uri": letter.as_uri(), "max_file_bytes": 100})


def test_what_cannot_be_read_may_be_skipped(letter: Path, tmp_path: Path) -> None:
    (tmp_path / "broken.pdf").write_bytes(b"no PDF")
    files = [(tmp_path / "broken.pdf").as_uri(), letter.as_uri()]
    output = parse({"files": files, "on_error": "skip"})
    assert output["files"][0] == {"uri": files[0], "error": f"{files[0]}: it is no PDF, or broken beyond repair"}
    assert (output["failed"], output["files"][1]["page_count"]) == (1, 2)


@WITHOUT_OCR
def test_scan_without_ocr_says_that_it_needs_it(tmp_path: Path) -> None:
    entry = parse_file(make_scan(tmp_path / "scan.pdf", ["Hello scanned world"]))
    assert (entry["text"], entry["needs_ocr"], entry["pages_without_text"]) == ("", True, 1)
    assert "install the extra `ocr`" in failure({"uri": entry["uri"], "ocr": "always"})


@WITH_OCR
def test_scan_is_read_by_ocr(tmp_path: Path) -> None:
    scan = make_scan(tmp_path / "scan.pdf", ["Hello scanned world"])
    entry = parse_file(scan)
    assert (entry["text"], entry["needs_ocr"], entry["pages"][0]["ocr"]) == ("Hello scanned world", False, True)
    assert parse_file(scan, ocr="never")["needs_ocr"]


def test_empty_page_needs_no_ocr(tmp_path: Path) -> None:
    assert not parse_file(make_pdf(tmp_path / "empty.pdf", [[]]))["needs_ocr"]


def test_real_pdfs_are_read_and_the_others_named() -> None:
    files = real_pdfs()
    config = {
        "files": [path.as_uri() for path in files.values()],
        "on_error": "skip",
        "ocr": "never",
        "parts": ["text"],
    }
    entries = parse(config)["files"]
    with_text = [one for one in entries if one.get("text") or "artifacts" in one]
    assert len(with_text) >= REAL_PDFS_WITH_TEXT
    errors = {name: one["error"] for name, one in zip(files, entries, strict=True) if "error" in one}
    assert errors[ENCRYPTED].endswith(f"{ENCRYPTED}: it is encrypted: its password is needed (password)")
    assert all(name in error for name, error in errors.items())
    scans = [name for name, one in zip(files, entries, strict=True) if one.get("needs_ocr")]
    assert "congress.pdf" in scans


def test_encrypted_pdf_is_read_with_its_password_alone() -> None:
    uri = real_pdfs()[ENCRYPTED].as_uri()
    (entry,) = parse({"uri": uri, "password": "password"})["files"]
    assert "crazy ones" in entry["text"]
    assert "not with this password" in failure({"uri": uri, "password": "hunter2"})
    assert "hunter2" not in failure({"uri": uri, "password": "hunter2"})


def test_progress_is_reported_page_by_page(tmp_path: Path) -> None:
    reports: list[tuple[float, str]] = []
    uri = make_pdf(tmp_path / "long.pdf", [[f"page {at}"] for at in range(10)]).as_uri()
    parse({"files": [uri, uri], "ocr": "never"}, report=lambda *report: reports.append(report))
    fractions = [fraction for fraction, _ in reports]
    assert (fractions, fractions[-1], len(reports)) == (sorted(fractions), 1, 20)
    assert reports[4] == (0.25, "long.pdf: page 5 of 10")


def test_memory_does_not_grow_with_the_number_of_pages(tmp_path: Path) -> None:
    lines = ["lorem ipsum dolor sit amet " * 2] * 15
    short = make_pdf(tmp_path / "short.pdf", [lines] * 20)
    long = make_pdf(tmp_path / "long.pdf", [lines] * 1000)
    assert _peak_bytes(long) - _peak_bytes(short) < 32 * 2**20


def _peak_bytes(path: Path) -> int:
    """Return the most memory that a process needed to read a file into artifacts."""
    code = f"""
from resource import RUSAGE_SELF, getrusage
from tests.files.test_parse_pdf import parse
entry, = parse({{"uri": {path.as_uri()!r}, "ocr": "never", "inline_bytes": 0}})["files"]
assert entry["artifacts"], entry
print(getrusage(RUSAGE_SELF).ru_maxrss * 1024)
"""
    return int(subprocess.check_output(python("-c", code), cwd=ROOT, text=True))


def test_large_text_becomes_artifacts(letter: Path) -> None:
    artifacts = Artifacts()
    (entry,) = parse({"uri": letter.as_uri(), "inline_bytes": 10}, artifacts=artifacts)["files"]
    assert not entry.keys() & {"text", "markdown", "pages"}
    kept = entry["artifacts"]
    assert {part: reference["name"] for part, reference in kept.items()} == {
        "text": "00000-a letter.pdf.txt",
        "markdown": "00000-a letter.pdf.md",
        "pages": "00000-a letter.pdf.jsonl",
    }
    assert artifacts.get(kept["text"]).decode().startswith("Dear reader,")
    assert [json.loads(line)["number"] for line in artifacts.get(kept["pages"]).splitlines()] == [1, 2]


def test_text_that_fits_no_output_becomes_artifacts_too(letter: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MAX_OUTPUT_BYTES", "6500")
    settings.cache_clear()
    try:
        first, second = parse({"files": [letter.as_uri()] * 2})["files"]
        assert "text" in first
        assert "artifacts" in second
    finally:
        settings.cache_clear()


def test_threads_read_pdfs_side_by_side(tmp_path: Path) -> None:
    paths = [
        make_pdf(tmp_path / f"{at}.pdf", [[f"document {at} page {page}"] for page in range(30)]) for at in range(4)
    ]
    with ThreadPoolExecutor(len(paths)) as threads:
        entries = list(threads.map(parse_file, paths))
    for at, entry in enumerate(entries):
        assert entry["text"].split("\n\n") == [f"document {at} page {page}" for page in range(30)]


@pytest.mark.parametrize(
    ("config", "fault"),
    [
        ({"uri": "s3://a/b", "files": []}, "False schema does not allow []"),
        ({"engine": "other"}, "'other' is not one of ['pypdfium2', 'docling']"),
        ({"parts": []}, "[] should be non-empty"),
        ({"pasword": "x"}, "('pasword' was unexpected)"),
    ],
)
def test_wrong_configuration_is_refused_at_submission(config: dict[str, Any], fault: str) -> None:
    assert fault in "".join(error.message for error in Draft202012Validator(SCHEMA).iter_errors(config))
