"""move-file moves and copies between real stores, and may be repeated at any point."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from botocore.exceptions import ClientError

from exospherehost import ConfigurationError
from tests.files.running import run

if TYPE_CHECKING:
    from pathlib import Path

    from tests.files.s3 import S3Server

LARGE = bytes(range(256)) * 80_000
"""20 MB: several parts of a multipart upload."""


def move(source: str, target: str, **config: Any) -> Any:
    return run("move-file", {"source": source, "target": target, **config})


def read(s3: S3Server, bucket: str, key: str) -> bytes | None:
    try:
        data: bytes = s3.client().get_object(Bucket=bucket, Key=key)["Body"].read()
    except ClientError:
        return None
    return data


def test_large_file_moves_from_disk_to_bucket_and_back(s3: S3Server, tmp_path: Path) -> None:
    s3.put("moving", {})
    (tmp_path / "a.bin").write_bytes(LARGE)
    moved = move((tmp_path / "a.bin").as_uri(), "s3://moving/in/a.bin", **s3.config)
    assert (moved["uri"], moved["size"], moved["endpoint"]) == ("s3://moving/in/a.bin", len(LARGE), s3.endpoint)
    assert not (tmp_path / "a.bin").exists()
    assert read(s3, "moving", "in/a.bin") == LARGE
    move("s3://moving/in/a.bin", (tmp_path / "out/b.bin").as_uri(), **s3.config)
    assert (tmp_path / "out/b.bin").read_bytes() == LARGE
    assert read(s3, "moving", "in/a.bin") is None


def test_copy_keeps_the_source(s3: S3Server) -> None:
    s3.put("copying", {"a.txt": b"data"})
    move("s3://copying/a.txt", "s3://copying/b.txt", copy=True, **s3.config)
    assert (read(s3, "copying", "a.txt"), read(s3, "copying", "b.txt")) == (b"data", b"data")


def test_repetition_after_the_move_is_done_already(s3: S3Server) -> None:
    s3.put("repeating", {"a.txt": b"data"})
    first = move("s3://repeating/a.txt", "s3://repeating/b.txt", **s3.config)
    assert move("s3://repeating/a.txt", "s3://repeating/b.txt", **s3.config) == first


def test_repetition_after_the_copy_only_deletes_the_source(s3: S3Server) -> None:
    s3.put("half", {"a.txt": b"data", "b.txt": b"data", "c.txt": b"data", "d.txt": b"part"})
    for target in ("b.txt", "d.txt"):
        source = {"b.txt": "a.txt", "d.txt": "c.txt"}[target]
        move(f"s3://half/{source}", f"s3://half/{target}", **s3.config)
        assert (read(s3, "half", source), read(s3, "half", target)) == (None, b"data")


def test_source_that_was_never_there_is_a_configuration_error(s3: S3Server) -> None:
    s3.put("missing", {})
    with pytest.raises(ConfigurationError, match=r"s3://missing/a.txt: it does not exist"):
        move("s3://missing/a.txt", "s3://missing/b.txt", **s3.config)


def test_file_is_not_moved_onto_itself(s3: S3Server, tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_bytes(b"data")
    (tmp_path / "link.txt").symlink_to(tmp_path / "a.txt")
    with pytest.raises(ConfigurationError, match="both the source and the target"):
        move((tmp_path / "a.txt").as_uri(), (tmp_path / "link.txt").as_uri())
    with pytest.raises(ConfigurationError, match="both the source and the target"):
        move("s3://any/a.txt", "s3://any/a.txt", **s3.config)
    assert (tmp_path / "a.txt").read_bytes() == b"data"


def test_missing_bucket_of_the_target_keeps_the_source(s3: S3Server, tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_bytes(b"data")
    with pytest.raises(ConfigurationError, match=r"s3://not-there-at-all/a.txt: it does not exist"):
        move((tmp_path / "a.txt").as_uri(), "s3://not-there-at-all/a.txt", **s3.config)
    assert (tmp_path / "a.txt").exists()
