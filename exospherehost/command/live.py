"""The display on a terminal: recently ended satellites, a bar for each running one, and a bar of the execution."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.console import Group
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from exospherehost.command.display_state import DisplayState, EndedAttempt, RunningSatellite
from exospherehost.command.lines import printable

if TYPE_CHECKING:
    from types import TracebackType
    from typing import Self

    from rich.console import Console, RenderableType

    from exospherehost.state_manager import Update

BAR_WIDTH = 24
RESERVED_LINES = 9
"""Lines of the terminal that running satellites cannot use: recently ended ones, the execution's bar, a margin."""

STATUS_STYLES = {
    "completed": ("✓", "green"),
    "failed": ("✗", "red"),
    "retrying": ("↻", "yellow"),
    "skipped": ("–", "dim"),
    "cancelled": ("–", "dim"),
    "pending": ("…", "dim"),
    "running": ("●", "cyan"),
}


class LiveDisplay:
    """Redraws itself at each tick. Failures are printed above it and stay."""

    shows_history = False

    def __init__(self, console: Console, state: DisplayState | None = None) -> None:
        self._console = console
        self._state = state or DisplayState()
        # No refresh thread: `run.py` forks, and a child would inherit a lock that the thread holds, locked for ever.
        self._live = Live(console=console, auto_refresh=False, get_renderable=self._render)

    def __enter__(self) -> Self:
        """Start to draw at the end of the terminal."""
        self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Draw the final state."""
        self._live.stop()

    def show(self, update: Update) -> None:
        """Apply an update; print the error of a failed attempt at once."""
        for ended in self._state.apply(update):
            if ended.error is not None:
                self._console.print(_ended_line(ended))

    def tick(self) -> None:
        """Redraw."""
        self._live.refresh()

    def _render(self) -> RenderableType:
        state = self._state
        visible = max(self._console.height - RESERVED_LINES, 3)
        running = list(state.running.values())
        rows: list[RenderableType] = [_ended_line(one) for one in state.recent if one.error is None]
        rows.append(self._progress_bars(running[:visible]))
        if len(running) > visible:
            rows.append(Text(f"  … and {len(running) - visible} more running", style="dim"))
        rows.append(self._summary())
        return Group(*rows)

    def _progress_bars(self, running: list[RunningSatellite]) -> Table:
        table = Table.grid(padding=(0, 1))
        for one in running:
            bar = ProgressBar(100, 100 * (one.fraction or 0), width=BAR_WIDTH, pulse=one.fraction is None)
            name = one.name if (one.attempt or 1) == 1 else f"{one.name} (attempt {one.attempt})"
            table.add_row(
                Text("●", style="cyan"),
                _ellipsized(name),
                bar,
                Text(format_duration(self._state.clock() - one.since), style="cyan"),
                _ellipsized(one.message, style="dim"),
            )
        return table

    def _summary(self) -> Table:
        state = self._state
        sign, style = STATUS_STYLES[state.status]
        counts = state.counts
        texts = [f"{sum(counts.values()) - counts['pending'] - counts['running']} of {state.total}"]
        texts += [f"{counts[status]} {status}" for status in ("failed", "skipped", "cancelled") if counts[status]]
        table = Table.grid(padding=(0, 1))
        table.add_row(
            Text(sign, style=style),
            Text(f"{state.title} {state.status}", style="bold"),
            ProgressBar(100, state.percent, width=BAR_WIDTH),
            Text(f"{state.percent:.0f}%"),
            Text(", ".join(texts)),
            Text("" if state.since is None else format_duration(state.clock() - state.since), style="cyan"),
        )
        return table


def _ended_line(one: EndedAttempt) -> Text:
    sign, style = STATUS_STYLES[one.kind]
    text = Text(f"{sign} ", style=style, no_wrap=True, overflow="ellipsis")
    text.append(printable(one.name), style="default")
    if one.kind != "completed":
        text.append(f" {one.kind}")
    if one.seconds is not None:
        text.append(f" {format_duration(one.seconds)}", style="cyan")
    if one.error is not None:
        text.append(f"  {printable(one.error)}")
    return text


def _ellipsized(text: str, style: str = "") -> Text:
    return Text(printable(text), style=style, no_wrap=True, overflow="ellipsis")


def format_duration(seconds: float) -> str:
    """Format a duration: 0.3 s, 12.5 s, 2:05, 1:02:05."""
    minutes, rest = divmod(int(seconds), 60)
    if not minutes:
        return f"{seconds:.1f} s"
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
