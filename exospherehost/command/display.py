"""Display of an execution's updates: redrawn in place on a terminal, plain lines elsewhere, JSON for programs."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING, Protocol, TextIO

from rich.console import Console

from exospherehost.command.lines import JsonLines, PlainLines
from exospherehost.command.live import LiveDisplay

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from types import TracebackType
    from typing import Self

    from exospherehost.state_manager import Execution, StateManagerClient, Update

TICK_INTERVAL_S = 0.1


class Display(Protocol):
    """Shows updates while it is entered. `shows_history`: it shows every event since the submission, where it can."""

    shows_history: bool

    def __enter__(self) -> Self:
        """Start to show."""

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop, and leave the final state on the screen."""

    def show(self, update: Update) -> None:
        """Show an update."""

    def tick(self) -> None:
        """Redraw, for the time that has passed."""


def is_live(stream: TextIO) -> bool:
    """Tell whether a stream is a terminal that can be redrawn."""
    return stream.isatty() and not Console(file=stream).is_dumb_terminal


def display_on(stream: TextIO, *, as_json: bool = False) -> Display:
    """Return the display that suits a stream."""
    if as_json:
        return JsonLines(stream)
    return LiveDisplay(Console(file=stream)) if is_live(stream) else PlainLines(stream)


async def follow(
    client: StateManagerClient, execution_id: str, display: Display, *, submitted_just_now: bool = False
) -> Execution:
    """Display an execution until its end, and return it."""
    watch = client.watch_execution(execution_id, from_the_start=submitted_just_now and display.shows_history)
    final = None
    with display:
        async with _ticking(display), watch as updates:
            async for update in updates:
                display.show(update)
                final = update.execution
    return final if final is not None else await client.get_execution(execution_id)


@asynccontextmanager
async def _ticking(display: Display) -> AsyncIterator[None]:
    async def tick() -> None:
        while True:
            display.tick()
            await asyncio.sleep(TICK_INTERVAL_S)

    ticking = asyncio.create_task(tick())
    try:
        yield
    finally:
        ticking.cancel()
        with suppress(asyncio.CancelledError):
            await ticking  # raises what a tick raised
