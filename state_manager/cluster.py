"""A cluster, the graph of satellites that a client submits, as frozen dataclasses."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from state_manager.states import FailurePolicy, RunWhen

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

SLAS = {"6h": timedelta(hours=6), "12h": timedelta(hours=12), "24h": timedelta(hours=24)}
"""Service levels, as time from submission to deadline."""

MAX_ITEMS = 10_000
"""Most items of one fan-out."""

MAX_GROUPS = 8
"""How deep groups may be nested in each other."""


@dataclass(frozen=True, slots=True)
class Satellite:
    """One unit of work of a cluster, by name.

    `uses` says which satellite type runs it. A group has `satellites` instead, whose names are its own.
    """

    name: str
    uses: str | None = None
    config: dict[str, Any] = field(default_factory=dict)
    input: dict[str, Any] = field(default_factory=dict)
    dependencies: tuple[str, ...] = ()
    queue: str | None = None
    timeout_s: float | None = None
    retry: dict[str, Any] = field(default_factory=dict)
    """Those fields of a `RetryPolicy` that the satellite sets itself."""
    run_when: RunWhen = RunWhen.ALL_SUCCESS
    condition: str | None = None
    """The expression of `if`."""
    for_each: str | list[Any] | None = None
    """The items of a fan-out, or the expression that they are the value of."""
    max_parallel: int | None = None
    satellites: tuple[Satellite, ...] = ()

    @property
    def is_group(self) -> bool:
        """Tell whether it runs satellites of its own instead of a satellite type."""
        return self.uses is None

    @property
    def is_parent(self) -> bool:
        """Tell whether it has children when it runs: one for each item, or those of its group."""
        return self.uses is None or self.for_each is not None


@dataclass(frozen=True, slots=True)
class Cluster:
    """A submitted document whose shape is sound; `graph.faults` says whether its graph is."""

    identifier: str
    satellites: tuple[Satellite, ...]
    sla: str = "24h"
    title: str | None = None
    description: str | None = None
    inputs: dict[str, Any] = field(default_factory=dict)
    secrets: dict[str, str] = field(default_factory=dict, repr=False)
    """The values that belong to this execution alone, by name."""
    failure_policy: FailurePolicy = FailurePolicy.CONTINUE
    timeout_s: float | None = None
    retry: dict[str, Any] = field(default_factory=dict)
    """Those fields of a `RetryPolicy` that the cluster sets for all of its satellites."""

    @property
    def project(self) -> str:
        """The part of the identifier before the slash."""
        return self.identifier.partition("/")[0]


def walk(satellites: Iterable[Satellite], above: str = "") -> Iterator[tuple[str, Satellite]]:
    """List satellites and those in their groups, each with its path: `satellites[2].satellites[0]`."""
    for at, satellite in enumerate(satellites):
        path = f"{above}satellites[{at}]"
        yield path, satellite
        if satellite.satellites:
            yield from walk(satellite.satellites, f"{path}.")
