"""A cluster, the graph of satellites that a client submits, as frozen dataclasses."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from state_manager.states import FailurePolicy, RunWhen

SLAS = {"6h": timedelta(hours=6), "12h": timedelta(hours=12), "24h": timedelta(hours=24)}
"""Service levels, as time from submission to deadline."""


@dataclass(frozen=True, slots=True)
class Satellite:
    """One unit of work of a cluster, by name: `uses` says which satellite type runs it, or it is a group."""

    name: str
    uses: str = ""
    config: dict[str, Any] = field(default_factory=dict)
    input: dict[str, Any] = field(default_factory=dict)
    dependencies: tuple[str, ...] = ()
    queue: str | None = None
    timeout_s: float | None = None
    retry: dict[str, Any] = field(default_factory=dict)
    """Those fields of a `RetryPolicy` that the satellite sets itself."""
    run_when: RunWhen = RunWhen.ALL_SUCCESS
    condition: str | None = None
    """Its `if`, an expression."""
    for_each: str | list[Any] | None = None
    """The items of a fan-out, or the expression that gives them."""
    max_parallel: int | None = None
    """Most items that run at a time."""
    satellites: tuple[Satellite, ...] = ()
    """The satellites of a group."""


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
