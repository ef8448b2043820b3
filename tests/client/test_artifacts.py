"""Artifacts by the client and by its command: lists, bytes and files."""

from __future__ import annotations

import asyncio
import hashlib
import json
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pytest

from exospherehost.files import file_name
from exospherehost.state_manager import Gone, NotFound, ServerFailed, StateManagerClient
from tests.client.test_command import exosphere

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from tests.system import System

pytestmark = pytest.mark.usefixtures("uri")

BYTES = 6_000_000


@pytest.fixture
def execution_id(system: System) -> str:
    keep = [{"name": name, "uses": "satellite/test/keep", "config": {"bytes": BYTES, "name": f"{name}.bin"}}
            for name in ("one", "../two")]  # fmt: skip
    execution_id = system.submit(*keep)
    assert system.wait(execution_id)["status"] == "completed"
    return execution_id


def ask(call: Callable[[StateManagerClient], Awaitable[Any]]) -> Any:
    async def run() -> Any:
        async with StateManagerClient() as client:
            return await call(client)

    return asyncio.run(run())


def test_artifacts_are_listed_read_and_written_to_files(execution_id: str, tmp_path: Path) -> None:
    found = ask(lambda client: client.list_artifacts(execution_id))
    assert {(one.satellite, one.name, one.size) for one in found} == {
        ("one", "one.bin", BYTES), ("../two", "../two.bin", BYTES),
    }  # fmt: skip
    (first, *_) = found
    for reference in (first, first.id, first.uri):
        data = ask(partial(StateManagerClient.get_artifact, artifact=reference))
        assert hashlib.sha256(data).hexdigest() == first.sha256
    (tmp_path / "out").write_text("before")
    assert ask(lambda client: client.download_artifact(first, tmp_path / "out")) == tmp_path / "out"
    assert (tmp_path / "out").read_bytes() == data
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_unknown_artifact_leaves_no_file(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="there is no artifact"):
        ask(lambda client: client.download_artifact(uuid4(), tmp_path / "out"))
    assert list(tmp_path.iterdir()) == []


def test_artifact_whose_bytes_are_missing_is_gone(system: System, execution_id: str) -> None:
    (artifact, *_) = ask(lambda client: client.list_artifacts(execution_id))
    (Path(system.environment["EXOSPHERE_HOME"]) / "artifacts" / execution_id / artifact.id).unlink()
    with pytest.raises(Gone, match="are not at file://"):
        ask(lambda client: client.get_artifact(artifact))


def test_other_bytes_than_the_reference_says_are_refused(execution_id: str) -> None:
    (artifact, *_) = ask(lambda client: client.list_artifacts(execution_id))
    with pytest.raises(ServerFailed, match="came back with other bytes than its reference says"):
        ask(lambda client: client.get_artifact({**artifact, "sha256": "0" * 64}))


def test_command_lists_artifacts_and_downloads_them_into_a_folder(execution_id: str, tmp_path: Path) -> None:
    lines = exosphere("artifacts", execution_id).splitlines()
    assert sorted(line.split(maxsplit=1)[1].split() for line in lines) == [
        [str(BYTES), "../two", "../two.bin"], [str(BYTES), "one", "one.bin"],
    ]  # fmt: skip
    paths = exosphere("artifacts", execution_id, "--to", str(tmp_path / "a/b")).split()
    assert {Path(path).relative_to(tmp_path / "a/b").as_posix() for path in paths} == {
        "one/one.bin", ".._two/.._two.bin",
    }  # fmt: skip
    assert {Path(path).stat().st_size for path in paths} == {BYTES}
    (only,) = exosphere("artifacts", execution_id, "one.bin", "--json").splitlines()
    assert json.loads(only)["satellite"] == "one"


def test_command_says_what_cannot_be_written(execution_id: str, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    assert "cannot be written: Not a directory" in exosphere(
        "artifacts", execution_id, "--to", str(tmp_path / "file"), code=2
    )


@pytest.mark.parametrize(
    ("name", "shown"), [("a.b", "a.b"), ("..", "_"), (".", "_"), ("", "_"), ("../a", ".._a"), ("a\\b\0", "a_b_")]
)
def test_names_of_files_lead_nowhere_else(name: str, shown: str) -> None:
    assert file_name(name) == shown
