"""Artifacts without a worker: what is kept, what a reference says, and what is refused."""

from __future__ import annotations

import hashlib
import io
import os
from typing import TYPE_CHECKING, Any
from uuid import UUID, uuid4

import pytest

from exospherehost import ConfigurationError, TransientError
from exospherehost.artifacts import CHUNK_BYTES, Artifacts, Content

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def artifacts() -> Artifacts:
    return Artifacts()


@pytest.mark.parametrize("size", [0, 1, CHUNK_BYTES - 1, CHUNK_BYTES, 2 * CHUNK_BYTES + 7])
@pytest.mark.parametrize("kind", ["bytes", "bytearray", "memoryview", "path", "text of a path", "file"])
def test_data_come_back_as_they_were_given(artifacts: Artifacts, tmp_path: Path, size: int, kind: str) -> None:
    data = os.urandom(size)
    (tmp_path / "data").write_bytes(data)
    given: Any = {
        "bytes": data, "bytearray": bytearray(data), "memoryview": memoryview(data),
        "path": tmp_path / "data", "text of a path": str(tmp_path / "data"), "file": io.BytesIO(data),
    }[kind]  # fmt: skip
    reference = artifacts.put("data", given, None)
    assert artifacts.get(reference) == data
    assert (reference["size"], reference["sha256"]) == (size, hashlib.sha256(data).hexdigest())
    with artifacts.open(reference) as file:
        file.seek(size // 2)
        assert file.read() == data[size // 2 :]


def test_reference_is_json_with_six_fields(artifacts: Artifacts) -> None:
    reference = artifacts.put("report.pdf", b"%PDF", None)
    assert reference == {
        "uri": f"artifact:{reference['id']}", "id": str(UUID(reference["id"])), "name": "report.pdf", "size": 4,
        "sha256": hashlib.sha256(b"%PDF").hexdigest(), "media_type": "application/pdf",
    }  # fmt: skip


def test_reference_may_be_an_id_or_a_uri(artifacts: Artifacts) -> None:
    reference = artifacts.put("a", b"a", None)
    same: tuple[Any, ...] = (
        reference["id"], UUID(reference["id"]), reference["uri"], {"id": reference["id"]}, {"uri": reference["uri"]},
    )  # fmt: skip
    for one in same:
        assert artifacts.get(one) == b"a"


@pytest.mark.parametrize("reference", ["a", None, 7, {}, {"id": "a"}, [], "../../etc/passwd"])
def test_what_is_no_reference_is_refused(artifacts: Artifacts, reference: Any) -> None:
    with pytest.raises(ConfigurationError, match="refers to no artifact: pass what put_artifact returned"):
        artifacts.get(reference)


def test_unknown_artifact_is_named(artifacts: Artifacts) -> None:
    unknown = uuid4()
    with pytest.raises(ConfigurationError, match=f"there is no artifact {unknown}"):
        artifacts.get(unknown)


@pytest.mark.parametrize("name", ["", "x" * 256, "a\0b", "a\nb", "\ud800", None, 7, b"a"])
def test_names_are_short_printable_texts(artifacts: Artifacts, name: Any) -> None:
    with pytest.raises(ConfigurationError, match="an artifact's name is a text of 1 to 255 printable characters"):
        artifacts.put(name, b"", None)


@pytest.mark.parametrize("name", ["../../etc/passwd", "/etc/passwd", "C:\\a", "ä 日本 🚀", ".", "a" * 255])
def test_odd_names_are_names_like_any_other(artifacts: Artifacts, name: str) -> None:
    reference = artifacts.put(name, b"a", None)
    assert (reference["name"], artifacts.get(reference)) == (name, b"a")


@pytest.mark.parametrize(
    ("name", "given", "media_type"),
    [
        ("a.json", None, "application/json"),
        ("a.unknown", None, "application/octet-stream"),
        ("a.json", "text/plain; charset=utf-8", "text/plain; charset=utf-8"),
    ],
)
def test_media_type_is_the_given_one_or_that_of_the_name(
    artifacts: Artifacts, name: str, given: str | None, media_type: str
) -> None:
    assert artifacts.put(name, b"{}", given)["media_type"] == media_type


@pytest.mark.parametrize("media_type", ["text", "text/html\r\nX: y", "text/plain;", " text/plain", "téxt/plain"])
def test_malformed_media_type_is_refused(artifacts: Artifacts, media_type: str) -> None:
    with pytest.raises(ConfigurationError, match="the media type of artifact 'a' is like text/plain"):
        artifacts.put("a", b"", media_type)


@pytest.mark.parametrize("data", [None, 7, {"a": 1}, ["a"]])
def test_other_data_are_refused_by_type(artifacts: Artifacts, data: Any) -> None:
    with pytest.raises(
        ConfigurationError, match=f"is made of bytes, a path or a binary file, not of {type(data).__name__}"
    ):
        artifacts.put("a", data, None)


def test_text_that_is_no_path_is_refused_with_what_to_do(artifacts: Artifacts, tmp_path: Path) -> None:
    for text in ("hello", "a\0b", str(tmp_path)):
        with pytest.raises(ConfigurationError, match=r"is not a file to read: .*; pass text as bytes, text.encode\(\)"):
            artifacts.put("a", text, None)


def test_file_that_reads_text_is_refused(artifacts: Artifacts) -> None:
    with pytest.raises(ConfigurationError, match="a file opened in binary mode is needed, not one that reads str"):
        artifacts.put("a", io.StringIO("text"), None)  # type: ignore[arg-type]


def test_download_writes_the_file_at_once_and_replaces_what_was_there(artifacts: Artifacts, tmp_path: Path) -> None:
    (tmp_path / "out").write_text("before")
    reference = artifacts.put("a", b"after", None)
    assert artifacts.download(reference, str(tmp_path / "out")) == tmp_path / "out"
    assert [(one.name, one.read_bytes()) for one in tmp_path.iterdir()] == [("out", b"after")]


def test_data_that_are_not_what_was_put_are_refused(tmp_path: Path) -> None:
    class Corrupt:
        def write(self, _name: str, _media_type: str, content: Content) -> str:
            list(content)
            return str(uuid4())

        def open(self, _: str) -> io.BytesIO:
            return io.BytesIO(b"something else")

    artifacts = Artifacts(Corrupt())
    reference = artifacts.put("a", b"a", None)
    with pytest.raises(TransientError, match="came back with 14 bytes, other than were put"):
        artifacts.get(reference)
    with pytest.raises(TransientError, match="came back with 14 bytes"):
        artifacts.download(reference, tmp_path / "out")
    assert list(tmp_path.iterdir()) == []
