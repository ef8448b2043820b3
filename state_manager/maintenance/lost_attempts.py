"""Expiry of lost attempts, one execution at a time; shared by the steps for expired leases and lost workers."""

from __future__ import annotations

from functools import partial
from itertools import groupby
from operator import attrgetter
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from state_manager.maintenance.repairs import Repairs
    from state_manager.store.leases import HeldAttempt


def expire(repairs: Repairs, attempts: Sequence[HeldAttempt], why: str, *, lease_over: bool) -> int:
    """Count these attempts, in the order of their executions, as failed; return how many were."""
    return sum(
        repairs.attempt(execution_id, partial(repairs.lifecycle.expire, list(held), why, lease_over=lease_over))
        for execution_id, held in groupby(attempts, key=attrgetter("execution_id"))
    )
