"""The expansion of fan-outs and groups: the rows of their children, and their outputs gathered. Pure.

A parent's `dynamic` has a `template`, the satellites of one item; a satellite of a plain fan-out is its only one.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from uuid_utils.compat import uuid7

from state_manager.states import SatelliteStatus

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from state_manager.store.transitions import Claimed

GROUP = "satellite/exospherehost/group"
"""Identifier of a group, which has no satellite type."""

NAMED = 5
"""Failed children whose errors are told in that of their parent."""


class ChildFailed(Exception):
    """At least one satellite of a fan-out or a group has failed."""


@dataclass(frozen=True, slots=True)
class Child:
    """A child of a parent, as it ended."""

    name: str
    index: int | None
    status: SatelliteStatus
    output: Any
    error: str | None


def names_in_scope(outputs: Mapping[str, Any], dynamic: Mapping[str, Any]) -> dict[str, Any]:
    """Name outputs as their group's document does: `parse`, not `per-file[3]/parse`."""
    return {name.removeprefix(dynamic["scopes"][0]): output for name, output in outputs.items()}


def is_parent(attempt: Claimed) -> bool:
    """Tell whether an attempt is that of a fan-out or a group."""
    return attempt.dynamic is not None and "template" in attempt.dynamic


def children(attempt: Claimed, items: Sequence[Any] | None) -> list[dict[str, Any]]:
    """Return the rows of a parent's children, as `insert_satellites` reads them; `items` is None without `for_each`."""
    rows: list[dict[str, Any]] = []
    if items is None:
        rows += _rows_of_item(attempt, attempt.name, attempt.index, attempt.item)
    else:
        for index, item in enumerate(items):
            rows += _rows_of_item(attempt, f"{attempt.name}[{index}]", index, item)
    return [{**row, "ordinal": ordinal} for ordinal, row in enumerate(rows)]


def _rows_of_item(attempt: Claimed, place: str, index: int | None, item: Any) -> Iterator[dict[str, Any]]:
    dynamic = attempt.dynamic or {}
    template, scopes = dynamic["template"], dynamic["scopes"]
    names = {one["name"]: _name(place, one) for one in template}
    if list(names) != [""]:
        scopes = [f"{place}/", *scopes]
    ids = {name: str(uuid7()) for name in names}
    dependents: dict[str, list[str]] = defaultdict(list)
    for one in template:
        for needed in one["dependencies"]:
            dependents[needed].append(ids[one["name"]])
    for one in template:
        yield {
            **one,
            "id": ids[one["name"]],
            "name": names[one["name"]],
            "dependencies": [ids[needed] for needed in one["dependencies"]],
            "dependents": dependents[one["name"]],
            "dynamic": None if one["dynamic"] is None else {**one["dynamic"], "scopes": scopes},
            "parent": str(attempt.id),
            "index": index,
            "item": item,
            "held": True if "max_parallel" in dynamic else None,
        }


def _name(place: str, one: Mapping[str, Any]) -> str:
    return f"{place}/{one['name']}" if one["name"] else place


def gathered(attempt: Claimed, ended: Sequence[Child]) -> Any:
    """Return the output of a parent whose children have ended: a list in the order of its items, or a group's object.

    A skipped child's output is None. Raises ChildFailed where one has failed.
    """
    failed = [child for child in ended if child.status is SatelliteStatus.FAILED]
    if failed:
        told = "; ".join(f"{child.name}: {child.error}" for child in failed[:NAMED])
        more = f"; and {len(failed) - NAMED} more" if len(failed) > NAMED else ""
        raise ChildFailed(f"{len(failed)} of {len(ended)} satellites failed: {told}{more}")
    dynamic, outputs = attempt.dynamic or {}, {child.name: child.output for child in ended}
    if "for_each" not in dynamic:
        return _output_of_item(dynamic["template"], attempt.name, outputs)
    indexes = sorted({child.index for child in ended if child.index is not None})
    return [_output_of_item(dynamic["template"], f"{attempt.name}[{index}]", outputs) for index in indexes]


def _output_of_item(template: Sequence[Mapping[str, Any]], place: str, outputs: Mapping[str, Any]) -> Any:
    if [one["name"] for one in template] == [""]:
        return outputs[place]
    needed = {name for one in template for name in one["dependencies"]}
    return {one["name"]: outputs[_name(place, one)] for one in template if one["name"] not in needed}
