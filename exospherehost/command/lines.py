"""Updates as lines of text for people, and as lines of JSON for programs."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any, TextIO

if TYPE_CHECKING:
    from types import TracebackType
    from typing import Self

    from exospherehost.state_manager import Update


class _Lines:
    """Prints a line an update at once, and redraws nothing."""

    shows_history = True

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        return None

    def tick(self) -> None:
        """Do nothing: lines are not redrawn."""

    def _print(self, line: str) -> None:
        print(line, file=self._stream, flush=True)


class PlainLines(_Lines):
    """A line of text for each event. Reports of progress are left out."""

    def show(self, update: Update) -> None:
        """Print an update, unless it is a report of progress."""
        if update.kind != "progress":
            self._print(format_update(update))


class JsonLines(_Lines):
    """A line of JSON for each update."""

    def show(self, update: Update) -> None:
        """Print an update."""
        self._print(json.dumps(as_json(update), ensure_ascii=False))


def format_update(update: Update) -> str:
    """Format an update for a person, on one line."""
    satellite = update.satellite
    description = update.status if update.kind == "snapshot" else update.kind
    if satellite is not None and satellite.duration_ms is not None:
        description += f" in {satellite.duration_ms / 1000:.3f} s"
    if satellite is not None and (satellite.attempt or 1) > 1:
        description += f", attempt {satellite.attempt}"
    error = update.error if satellite is None else satellite.error
    if error:
        description += f": {printable(error)}"
    subject = printable(satellite.name) if satellite else "execution"
    return f"{update.at}  {update.progress:3.0f}%  {subject}  {description}"


def as_json(update: Update) -> dict[str, Any]:
    """Return an update's fields without the execution, but with its results in the final update."""
    fields = asdict(replace(update, execution=None))
    del fields["execution"]
    return {**fields, "results": update.results}


def printable(text: str) -> str:
    """Replace line breaks and control characters, with which a satellite's text could command the terminal."""
    return "".join(one if one.isprintable() else " " for one in text)
