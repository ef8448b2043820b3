"""An exception of a display ends the watch, and is raised to the caller."""

from __future__ import annotations

import asyncio
import errno
import io

import pytest

from exospherehost.command.display import follow
from exospherehost.command.lines import PlainLines
from exospherehost.state_manager import StateManagerClient
from tests.client.scripted_server import EXECUTION, STORY, ScriptedServer, snapshot


class HungUp(PlainLines):
    """A terminal that is gone when it is to be redrawn."""

    def tick(self) -> None:
        """Fail as the system does."""
        raise OSError(errno.EIO, "Input/output error")


def test_tick_that_fails_is_not_lost() -> None:
    async def show() -> None:
        async with ScriptedServer([([snapshot(), *STORY], 1000)]).serve() as uri, StateManagerClient(uri) as client:
            await follow(client, EXECUTION, HungUp(io.StringIO()))

    with pytest.raises(OSError, match="Input/output error"):
        asyncio.run(show())
