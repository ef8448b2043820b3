"""The display on a terminal: a line for each satellite that runs, a bar of the whole, and what ended lately."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.console import Group
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from exospherehost.command.board import Board, Ended, Running
from exospherehost.command.lines import printable

if TYPE_CHECKING:
    from types import TracebackType
    from typing import Self

    from rich.console import Console, RenderableType

    from exospherehost.state_manager import Update

BAR_WIDTH = 24
OTHER_LINES = 9
"""Lines of the terminal that satellites which run are not given: those that ended, the whole, and some air."""

LOOKS = {
    "completed": ("✓", "green"),
    "failed": ("✗", "red"),
    "retrying": ("↻", "yellow"),
    "skipped": ("–", "dim"),
    "cancelled": ("–", "dim"),
    "pending": ("…", "dim"),
    "running": ("●", "cyan"),
}


class LiveDisplay:
    """Redraws itself at each tick; failures stay above it."""

    tells_all = False

    def __init__(self, console: Console, board: Board | None = None) -> None:
        self._console = console
        self._board = board or Board()
        # Without a thread of its own: `run.py` forks, and a thread that holds a lock meanwhile would never let go.
        self._live = Live(console=console, auto_refresh=False, get_renderable=self._render)

    def __enter__(self) -> Self:
        """Take the end of the terminal."""
        self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Draw it a last time."""
        self._live.stop()

    def show(self, update: Update) -> None:
        """Take it in; a failure is told at once."""
        for ended in self._board.take(update):
            if ended.error is not None:
                self._console.print(_ended(ended))

    def tick(self) -> None:
        """Draw how things are."""
        self._live.refresh()

    def _render(self) -> RenderableType:
        board = self._board
        room = max(self._console.height - OTHER_LINES, 3)
        running = list(board.running.values())
        rows: list[RenderableType] = [_ended(one) for one in board.recent if one.error is None]
        rows.append(self._table(running[:room]))
        if len(running) > room:
            rows.append(Text(f"  … and {len(running) - room} more run", style="dim"))
        rows.append(self._whole())
        return Group(*rows)

    def _table(self, running: list[Running]) -> Table:
        table = Table.grid(padding=(0, 1))
        for one in running:
            bar = ProgressBar(100, 100 * (one.fraction or 0), width=BAR_WIDTH, pulse=one.fraction is None)
            name = one.name if (one.attempt or 1) == 1 else f"{one.name} (attempt {one.attempt})"
            table.add_row(
                Text("●", style="cyan"),
                _cut(name),
                bar,
                Text(_seconds(self._board.clock() - one.since), style="cyan"),
                _cut(one.message, style="dim"),
            )
        return table

    def _whole(self) -> Table:
        board = self._board
        sign, style = LOOKS[board.status]
        counts = board.counts
        told = [f"{sum(counts.values()) - counts['pending'] - counts['running']} of {board.total}"]
        told += [f"{counts[state]} {state}" for state in ("failed", "skipped", "cancelled") if counts[state]]
        table = Table.grid(padding=(0, 1))
        table.add_row(
            Text(sign, style=style),
            Text(f"{board.title} {board.status}", style="bold"),
            ProgressBar(100, board.percent, width=BAR_WIDTH),
            Text(f"{board.percent:.0f}%"),
            Text(", ".join(told)),
            Text("" if board.since is None else _seconds(board.clock() - board.since), style="cyan"),
        )
        return table


def _ended(one: Ended) -> Text:
    sign, style = LOOKS[one.kind]
    text = Text(f"{sign} ", style=style, no_wrap=True, overflow="ellipsis")
    text.append(printable(one.name), style="default")
    if one.kind != "completed":
        text.append(f" {one.kind}")
    if one.seconds is not None:
        text.append(f" {_seconds(one.seconds)}", style="cyan")
    if one.error is not None:
        text.append(f"  {printable(one.error)}")
    return text


def _cut(words: str, style: str = "") -> Text:
    return Text(printable(words), style=style, no_wrap=True, overflow="ellipsis")


def _seconds(seconds: float) -> str:
    """Write a duration: 0.3 s, 12.5 s, 2:05, 1:02:05."""
    minutes, rest = divmod(int(seconds), 60)
    if not minutes:
        return f"{seconds:.1f} s"
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
