"""The file of a cluster is checked before anything starts."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from local.cluster_file import read_cluster, with_satellites_beside
from local.errors import CannotStart
from state_manager.config import Settings

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize(
    "text",
    ['{"identifier": "a/b"}', "identifier: a/b\n", "# a comment\n--- \n{identifier: a/b, x: [1]}", '  {"a": {}}\n'],
)
def test_object_in_json_or_yaml_is_read_as_it_stands(tmp_path: Path, text: str) -> None:
    file = tmp_path / "cluster"
    file.write_text(text)
    assert read_cluster(file) == text.encode()


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"", "it is empty"),
        (b"# nothing\n", "it is empty"),
        (b"[1, 2]", "it is not an object"),
        (b"just text", "it is not an object"),
        (b"\xff\xfe", "not UTF-8"),
        (b'{"a": 1,}x', "line 1, column 9: "),
        (b"a: 1\n  b: [", "line 2, column 4: "),
        (b"a: \x07", "control characters are not allowed"),
        (b'{"a":' * 100_000, "nested more than 100 deep"),
    ],
)
def test_anything_else_is_refused_with_its_place(tmp_path: Path, content: bytes, problem: str) -> None:
    file = tmp_path / "cluster.yaml"
    file.write_bytes(content)
    with pytest.raises(CannotStart) as caught:
        read_cluster(file)
    assert f"{file} is not a cluster: " in str(caught.value)
    assert problem in str(caught.value)
    assert caught.value.code == 2


def test_unreadable_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CannotStart, match=r"nowhere\.yaml cannot be read: No such file"):
        read_cluster(tmp_path / "nowhere.yaml")


def test_module_beside_the_cluster_is_added_where_it_can_be_imported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "counting.py").touch()
    settings = Settings(satellite_modules=("other",))
    monkeypatch.chdir(tmp_path)
    assert with_satellites_beside(settings, tmp_path / "counting.yaml").satellite_modules == ("other", "counting")
    assert with_satellites_beside(settings, tmp_path / "alone.yaml") == settings
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert with_satellites_beside(settings, tmp_path / "counting.yaml") == settings
