"""Secrets by the client and by its command: values go in, and never come out."""

from __future__ import annotations

import asyncio
import contextlib
import os
import pty
import subprocess
from hashlib import sha256
from typing import TYPE_CHECKING

import pytest

from exospherehost.state_manager import InvalidRequest, NotFound, StateManagerClient
from tests.client.test_command import EXOSPHERE, exosphere

if TYPE_CHECKING:
    from pathlib import Path

    from tests.system import System

VALUE = "correct horse battery staple"
PROJECT = "test"


@pytest.fixture(autouse=True)
def no_secrets(uri: str) -> None:
    async def delete_all() -> None:
        async with StateManagerClient() as client:
            for one in await client.list_secrets(PROJECT):
                await client.delete_secret(PROJECT, one.name)

    asyncio.run(delete_all())


def told(system: System, name: str) -> str:
    """Return the digest that a satellite makes of a secret."""
    config = {"secrets": [name]}
    execution = system.wait(system.submit({"name": "a", "uses": "satellite/test/tell", "config": config}))
    return str(execution["results"]["a"]["digests"][name])


def digest(value: str) -> str:
    return sha256(value.encode()).hexdigest()


def test_client_sets_lists_and_deletes_secrets(system: System) -> None:
    async def use() -> None:
        async with StateManagerClient() as client:
            await client.set_secret(PROJECT, "B-2", VALUE)
            await client.set_secret(PROJECT, "A", VALUE)
            assert [one.name for one in await client.list_secrets(PROJECT)] == ["A", "B-2"]
            await client.delete_secret(PROJECT, "A")
            with pytest.raises(NotFound):
                await client.delete_secret(PROJECT, "A")
            with pytest.raises(InvalidRequest, match="name: A secret is named by"):
                await client.set_secret(PROJECT, "a.b", VALUE)

    asyncio.run(use())
    assert told(system, "B-2") == digest(VALUE)


def test_command_reads_the_value_from_standard_input_or_a_file(system: System, tmp_path: Path) -> None:
    assert exosphere("secrets", "set", PROJECT, "INPUT", given=f"{VALUE}\n") == ""
    file = tmp_path / "value"
    file.write_text("-- KEY --\n\n")
    exosphere("secrets", "set", PROJECT, "FILE", "--from-file", str(file))
    assert [line.split()[1] for line in exosphere("secrets", "list", PROJECT).splitlines()] == ["FILE", "INPUT"]
    assert told(system, "INPUT") == digest(VALUE)
    assert told(system, "FILE") == digest("-- KEY --\n")
    exosphere("secrets", "delete", PROJECT, "FILE")
    assert "FILE" not in exosphere("secrets", "list", PROJECT, "--json")


def test_command_asks_for_the_value_on_a_terminal_and_does_not_show_it(system: System) -> None:
    terminal, theirs = pty.openpty()
    command = [EXOSPHERE, "secrets", "set", PROJECT, "TYPED"]
    with subprocess.Popen(command, stdin=theirs, stdout=theirs, stderr=theirs, start_new_session=True) as process:
        shown = b""
        while b"not shown" not in shown:
            shown += os.read(terminal, 1000)
        os.write(terminal, f"{VALUE}\n".encode())
        assert process.wait(60) == 0
    os.close(theirs)
    with contextlib.suppress(OSError):  # Linux says so at the end of a terminal that no program has open
        shown += os.read(terminal, 10_000)
    os.close(terminal)
    assert VALUE not in shown.decode()
    assert told(system, "TYPED") == digest(VALUE)


def test_command_names_what_it_cannot_read_and_what_is_not_there(tmp_path: Path) -> None:
    assert "cannot be read" in exosphere("secrets", "set", PROJECT, "X", "--from-file", str(tmp_path / "no"), code=2)
    (tmp_path / "binary").write_bytes(b"\xff")
    assert "base64" in exosphere("secrets", "set", PROJECT, "X", "--from-file", str(tmp_path / "binary"), code=2)
    assert "has no secret 'X'" in exosphere("secrets", "delete", PROJECT, "X", code=3)
    assert "1 to 65536 bytes" in exosphere("secrets", "set", PROJECT, "X", given="", code=2)
