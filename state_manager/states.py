"""The states of executions and satellites, and every transition between them, as data.

The database refuses any other move (`store/sql/transitions.sql`, held equal to these tables by a test).
"""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping


class ExecutionStatus(StrEnum):
    """The states of an execution."""

    PENDING = "pending"
    """Accepted, and waits for admission (`MAX_CONCURRENT_EXECUTIONS`); `submit` or `admit` moves it on."""
    RUNNING = "running"
    """Admitted; its ready satellites may be claimed. `settle` moves it on when the last of them ends."""
    COMPLETED = "completed"
    """Every satellite is terminal, and none failed."""
    FAILED = "failed"
    """Every satellite is terminal, and at least one failed."""
    CANCELLED = "cancelled"
    """A client ended it."""


class SatelliteStatus(StrEnum):
    """The states of a satellite."""

    PENDING = "pending"
    """Waits for dependencies, for a worker, or for its next attempt; *ready* means pending with none unmet."""
    RUNNING = "running"
    """A worker claimed it and holds its lease; `settle` with that claim's token moves it on."""
    COMPLETED = "completed"
    """An attempt returned, and its output is recorded."""
    FAILED = "failed"
    """The last attempt allowed has failed; its error is recorded."""
    SKIPPED = "skipped"
    """It will not run, and the `reason` says why."""
    CANCELLED = "cancelled"
    """It was ended from outside before it had an outcome."""


class FailurePolicy(StrEnum):
    """The effect of one failed satellite on the rest of its cluster."""

    CONTINUE = "continue"
    """Only its descendants are skipped."""
    FAIL_FAST = "fail_fast"
    """Everything that has not started is skipped."""


class RunWhen(StrEnum):
    """The condition on its dependencies under which a satellite runs."""

    ALL_SUCCESS = "all_success"
    """Every dependency completed."""
    ALL_DONE = "all_done"
    """Every dependency is terminal, however it ended."""


class SkipReason(StrEnum):
    """The reasons for which a satellite is skipped."""

    UPSTREAM = "upstream"
    """Something that it depends on did not complete."""
    FAIL_FAST = "fail_fast"
    """Another satellite failed under `failure_policy: fail_fast`."""
    IF = "if"
    """Its `if` is not true."""
    PRUNE = "prune"
    """It raised `Prune`."""


EXECUTION_MOVES: Mapping[ExecutionStatus, frozenset[ExecutionStatus]] = {
    ExecutionStatus.PENDING: frozenset({ExecutionStatus.RUNNING, ExecutionStatus.CANCELLED}),
    ExecutionStatus.RUNNING: frozenset({ExecutionStatus.COMPLETED, ExecutionStatus.FAILED, ExecutionStatus.CANCELLED}),
    ExecutionStatus.COMPLETED: frozenset(),
    ExecutionStatus.FAILED: frozenset({ExecutionStatus.RUNNING}),
    ExecutionStatus.CANCELLED: frozenset(),
}

SATELLITE_MOVES: Mapping[SatelliteStatus, frozenset[SatelliteStatus]] = {
    SatelliteStatus.PENDING: frozenset({SatelliteStatus.RUNNING, SatelliteStatus.SKIPPED, SatelliteStatus.CANCELLED}),
    SatelliteStatus.RUNNING: frozenset(
        {
            SatelliteStatus.COMPLETED,
            SatelliteStatus.FAILED,
            SatelliteStatus.CANCELLED,
            SatelliteStatus.PENDING,
            SatelliteStatus.SKIPPED,
        }
    ),
    SatelliteStatus.COMPLETED: frozenset(),
    SatelliteStatus.FAILED: frozenset({SatelliteStatus.PENDING}),
    SatelliteStatus.SKIPPED: frozenset({SatelliteStatus.PENDING}),
    SatelliteStatus.CANCELLED: frozenset({SatelliteStatus.PENDING}),
}

FINISHED = frozenset({ExecutionStatus.COMPLETED, ExecutionStatus.FAILED, ExecutionStatus.CANCELLED})
"""Executions that only a retry can move again."""

TERMINAL = frozenset(
    {
        SatelliteStatus.COMPLETED,
        SatelliteStatus.FAILED,
        SatelliteStatus.SKIPPED,
        SatelliteStatus.CANCELLED,
    }
)
"""Satellites that only a retry can move again."""
