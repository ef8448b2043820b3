"""The bytes of artifacts, in a folder and in an object store: what is written, and what is seen of it."""

from __future__ import annotations

import itertools
import os
import socket
import subprocess
import tracemalloc
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import UUID, uuid4

import pytest

from state_manager.artifact_bytes import PART_BYTES, ArtifactBytes
from state_manager.config import Settings
from state_manager.errors import BytesMissing, LocationFailed, LocationFull, LocationRefused
from state_manager.store.artifacts import Artifact
from tests.files.s3 import s3_server
from tests.processes import free_port

if TYPE_CHECKING:
    from collections.abc import Iterator

EXECUTION = UUID(int=1)


@pytest.fixture(scope="module")
def s3() -> Iterator[dict[str, str]]:
    with s3_server() as server:
        server.put("artifacts", {})
        yield server.variables


@pytest.fixture(params=["file", "s3"])
def kept(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ArtifactBytes:
    if request.param == "file":
        return ArtifactBytes(Settings(home=tmp_path))
    for name, value in request.getfixturevalue("s3").items():
        monkeypatch.setenv(name, value)
    return ArtifactBytes(Settings(artifacts_uri="s3://artifacts/below"))


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", tmp_path], capture_output=True, check=False
    )
    if mounted.returncode != 0:
        pytest.skip("a small file system cannot be mounted here")
    yield tmp_path
    subprocess.run(["umount", tmp_path], check=True)


def artifact(kept: ArtifactBytes, size: int) -> Artifact:
    return Artifact(uuid4(), "report", "text/plain", size, "abc", kept.location, EXECUTION, uuid4(), "s0", 1,
                    datetime.now(UTC))  # fmt: skip


def written(kept: ArtifactBytes, data: bytes) -> Artifact:
    row = artifact(kept, len(data))
    kept.write(EXECUTION, row.id, [data])
    return row


@pytest.mark.parametrize("sizes", [[], [0], [1], [3, 4], [PART_BYTES], [PART_BYTES, 1], [1000] * 9000, [13 * 2**20]])
def test_bytes_come_back_however_they_were_cut(kept: ArtifactBytes, sizes: list[int]) -> None:
    chunks = [os.urandom(size) for size in sizes]
    row = artifact(kept, sum(sizes))
    kept.write(EXECUTION, row.id, chunks)
    assert kept.open(row).readall() == b"".join(chunks)


def test_bytes_are_read_from_anywhere(kept: ArtifactBytes) -> None:
    data = os.urandom(10 * 2**20)
    file = kept.open(written(kept, data))
    assert (file.seek(9 * 2**20), file.read(10), file.tell()) == (9 * 2**20, data[9 * 2**20 :][:10], 9 * 2**20 + 10)
    assert (file.seek(-5, os.SEEK_END), file.read()) == (len(data) - 5, data[-5:])


def test_source_that_fails_leaves_nothing_and_raises_its_own_error(kept: ArtifactBytes) -> None:
    def chunks() -> Iterator[bytes]:
        yield from itertools.repeat(b"x" * PART_BYTES, 3)
        raise FileNotFoundError("the source is gone")

    row = artifact(kept, 3 * PART_BYTES)
    with pytest.raises(FileNotFoundError, match="the source is gone"):
        kept.write(EXECUTION, row.id, chunks())
    with pytest.raises(BytesMissing):
        kept.open(row)


def test_removed_bytes_are_gone_and_may_be_removed_again(kept: ArtifactBytes) -> None:
    row, other = written(kept, b"a"), written(kept, b"b")
    for _ in range(2):
        kept.remove(EXECUTION, row.id)
    with pytest.raises(BytesMissing):
        kept.open(row)
    assert kept.open(other).read() == b"b"


def test_execution_is_removed_with_all_that_is_below_it(kept: ArtifactBytes) -> None:
    rows = [written(kept, b"a") for _ in range(3)]
    other = replace(artifact(kept, 1), execution_id=UUID(int=2))
    kept.write(other.execution_id, other.id, [b"b"])
    for _ in range(2):
        kept.remove_execution(EXECUTION)
    for row in rows:
        with pytest.raises(BytesMissing):
            kept.open(row)
    assert kept.open(other).read() == b"b"


def test_missing_bytes_say_where_they_were_written(kept: ArtifactBytes) -> None:
    elsewhere = replace(artifact(kept, 3), location="file://another-machine/artifacts")
    with pytest.raises(
        BytesMissing, match=r"\('report'\) are not at .*; they were written to file://another-machine/art"
    ):
        kept.open(elsewhere)
    with pytest.raises(BytesMissing, match="they were removed, or replaced by others"):
        kept.open(artifact(kept, 3))


def test_bytes_of_another_size_are_missing(kept: ArtifactBytes) -> None:
    row = written(kept, b"abc")
    with pytest.raises(BytesMissing):
        kept.open(replace(row, size=4))


def test_upload_holds_a_few_parts_in_memory(kept: ArtifactBytes) -> None:
    kept.write(EXECUTION, uuid4(), [b""])  # what is loaded once
    tracemalloc.start()
    try:
        kept.write(EXECUTION, uuid4(), (bytes(PART_BYTES) for _ in range(20)))
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 8 * PART_BYTES


def test_writing_in_a_folder_leaves_nothing_behind_but_the_artifact(tmp_path: Path) -> None:
    kept = ArtifactBytes(Settings(home=tmp_path))
    row = written(kept, b"abc")
    there = [path for path in (tmp_path / "artifacts").rglob("*") if path.is_file()]
    assert there == [tmp_path / "artifacts" / str(EXECUTION) / str(row.id)]
    kept.remove(EXECUTION, row.id)
    assert list((tmp_path / "artifacts").iterdir()) == []


def test_broken_write_in_a_folder_goes_with_the_execution(tmp_path: Path) -> None:
    kept = ArtifactBytes(Settings(home=tmp_path))
    row = written(kept, b"abc")
    (tmp_path / "artifacts" / str(EXECUTION) / f"{row.id}#1").write_bytes(b"half")
    kept.remove_execution(EXECUTION)
    assert list((tmp_path / "artifacts").iterdir()) == []


def test_location_of_a_folder_names_its_machine(tmp_path: Path) -> None:
    folder = f"file://{socket.gethostname()}{tmp_path}/artifacts"
    assert ArtifactBytes(Settings(home=tmp_path)).location == folder
    assert ArtifactBytes(Settings(artifacts_uri=f"file://{tmp_path}/artifacts")).location == folder


def test_relative_home_is_one_folder_and_odd_letters_are_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    kept = ArtifactBytes(Settings(home=Path("a b#ü%20")))
    written(kept, b"a")
    assert [path.name for path in tmp_path.iterdir()] == ["a b#ü%20"]


def test_folder_that_cannot_be_made_is_a_clear_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    kept = ArtifactBytes(Settings(home=tmp_path / "file"))
    with pytest.raises(LocationFailed, match=rf"cannot be written at file://.*{tmp_path}/file/artifacts: "):
        written(kept, b"a")


def test_full_disk_is_told_from_other_errors(small_disk: Path) -> None:
    kept = ArtifactBytes(Settings(artifacts_uri=f"file://{small_disk}"))
    with pytest.raises(LocationFull, match="No space left on device"):
        kept.write(EXECUTION, uuid4(), (bytes(PART_BYTES) for _ in range(4)))
    assert [path for path in small_disk.rglob("*") if path.is_file()] == []


def test_bucket_that_is_not_there_is_refused(s3: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in s3.items():
        monkeypatch.setenv(name, value)
    kept = ArtifactBytes(Settings(artifacts_uri="s3://no-such-bucket"))
    with pytest.raises(LocationRefused, match="cannot be written at s3://no-such-bucket: "):
        written(kept, b"a")


def test_store_that_does_not_answer_fails_in_its_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{free_port()}")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "a")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "very secret")
    kept = ArtifactBytes(Settings(artifacts_uri="s3://artifacts"))
    with pytest.raises(LocationFailed, match="cannot be written at s3://artifacts: ") as raised:
        written(kept, b"a")
    assert "very secret" not in str(raised.value)
    assert "\n" not in str(raised.value)
