"""Updates as lines: for people who read a file, and for programs."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any, TextIO

if TYPE_CHECKING:
    from types import TracebackType
    from typing import Self

    from exospherehost.state_manager import Update


class _Lines:
    """A line each, at once; nothing is redrawn."""

    tells_all = True

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        return None

    def tick(self) -> None:
        """Time alone makes no line."""

    def _print(self, line: str) -> None:
        print(line, file=self._stream, flush=True)


class PlainLines(_Lines):
    """A line an event; what satellites say of their progress is left out."""

    def show(self, update: Update) -> None:
        """Print it."""
        if update.kind != "progress":
            self._print(line(update))


class JsonLines(_Lines):
    """A line an update."""

    def show(self, update: Update) -> None:
        """Print it."""
        self._print(json.dumps(as_json(update), ensure_ascii=False))


def line(update: Update) -> str:
    """Write an update for a person, on one line."""
    satellite = update.satellite
    what = update.status if update.kind == "snapshot" else update.kind
    if satellite is not None and satellite.duration_ms is not None:
        what += f" in {satellite.duration_ms / 1000:.3f} s"
    if satellite is not None and (satellite.attempt or 1) > 1:
        what += f", attempt {satellite.attempt}"
    error = update.error if satellite is None else satellite.error
    if error:
        what += f": {printable(error)}"
    return f"{update.at}  {update.progress:3.0f}%  {satellite.name if satellite else 'execution'}  {what}"


def as_json(update: Update) -> dict[str, Any]:
    """Give an update's fields, with the results in the last one, and without the whole execution."""
    fields = asdict(replace(update, execution=None))
    del fields["execution"]
    return {**fields, "results": update.results}


def printable(text: str) -> str:
    """Take out what would break a line or command a terminal: nobody knows what a satellite says."""
    return "".join(one if one.isprintable() else " " for one in text)
