"""Faults by path, from the nested messages of marshmallow and webargs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from state_manager.errors import Fault, as_path

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping


def faults_of(messages: Mapping[Any, Any], above: tuple[str | int, ...] = ()) -> Iterator[Fault]:
    """List nested messages as faults: `{"satellites": {3: {"name": ["…"]}}}` is one at `satellites[3].name`."""
    for key, below in messages.items():
        steps = above if key == "_schema" else (*above, key)
        if isinstance(below, dict):
            yield from faults_of(below, steps)
        else:
            for message in below if isinstance(below, list) else [below]:
                yield Fault(as_path(steps), str(message))
