"""Submission: write a validated cluster as the rows of an execution, in one transaction."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from uuid_utils.compat import uuid7

from state_manager.errors import KeyReused
from state_manager.failpoints import Point, reach
from state_manager.retry import RetryPolicy
from state_manager.rows import Rows
from state_manager.secrets.errors import UnknownKey
from state_manager.secrets.submitted import definition_hash, is_hash_of, sealed_rows, without_values
from state_manager.states import ExecutionStatus, SatelliteStatus
from state_manager.store import executions
from state_manager.store.executions import Execution, Snapshot
from state_manager.store.outages import retry_until_available
from state_manager.store.satellites import Member, Node

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from uuid import UUID

    from sqlalchemy import Engine

    from state_manager.cluster import Cluster
    from state_manager.secrets.keys import MasterKeys
    from state_manager.store.executions import Receipt
    from state_manager.store.satellite_types import SatelliteType


OUTAGE_WAIT_S = 2.0
"""Longest time that a submission waits for the end of an outage of the database."""


@dataclass(frozen=True, slots=True)
class Defaults:
    """The retry policy and the execution's timeout of a cluster that sets none."""

    retry: RetryPolicy = field(default_factory=RetryPolicy)
    timeout_s: float = 3600


@dataclass(frozen=True, slots=True)
class Submitted:
    """An accepted execution. Where it is new, `nodes` is its graph, for the dispatch, and `snapshot` how it begins."""

    execution_id: UUID
    created: bool
    nodes: dict[UUID, Node]
    snapshot: Snapshot | None


def submit(
    engine: Engine,
    cluster: Cluster,
    types: Mapping[str, SatelliteType],
    document: Mapping[str, Any],
    *,
    idempotency_key: str | None,
    max_concurrent: int,
    defaults: Defaults,
    keys: MasterKeys | None = None,
) -> Submitted:
    """Write the rows of a cluster that was validated, which gave its `types`; encrypt its secrets under `keys`.

    Raises KeyReused when the key came with another document before, and SecretsUnavailable.
    """
    execution_id = uuid7()
    execution = {
        "id": execution_id,
        "project": cluster.project,
        "cluster_id": cluster.identifier,
        "sla": cluster.sla,
        "failure_policy": cluster.failure_policy,
        "timeout_s": cluster.timeout_s or defaults.timeout_s,
        "definition": without_values(document),
        "definition_hash": definition_hash(document, keys),
        "idempotency_key": idempotency_key,
        "secrets": sealed_rows(keys, cluster.project, execution_id, cluster.secrets),
    }
    rows = list(Rows(cluster, types, defaults.retry).of_cluster())
    written, satellites = _dump(execution), _dump(rows)
    reach(Point.SUBMIT)
    # A commit whose answer was lost is found out: the same id, sent again, finds its own rows.
    receipt = retry_until_available(
        lambda: executions.submit(engine, written, satellites, max_concurrent=max_concurrent), within_s=OUTAGE_WAIT_S
    )
    reach(Point.SUBMITTED)
    if not receipt.created:
        _require_same(receipt.definition_hash, document, keys, idempotency_key)
        return Submitted(receipt.execution_id, created=False, nodes={}, snapshot=None)
    return Submitted(
        receipt.execution_id, created=True, nodes=_nodes(rows), snapshot=_snapshot(execution, rows, receipt)
    )


def _require_same(
    stored_hash: str, document: Mapping[str, Any], keys: MasterKeys | None, idempotency_key: str | None
) -> None:
    try:
        if is_hash_of(stored_hash, document, keys):
            return
    except UnknownKey as error:
        raise KeyReused(f"idempotency key {idempotency_key!r} was used before, and {error}") from None
    raise KeyReused(f"idempotency key {idempotency_key!r} was used for another document")


def _nodes(rows: list[dict[str, Any]]) -> dict[UUID, Node]:
    return {
        row["id"]: Node(row["id"], row["queue"], tuple(row["dependencies"]), tuple(row["dependents"])) for row in rows
    }


def _snapshot(execution: Mapping[str, Any], rows: Sequence[Mapping[str, Any]], receipt: Receipt) -> Snapshot | None:
    """Return the execution as it began, without reading it; None where it may have gone on meanwhile."""
    if receipt.seq > len(("submitted", "started")):
        return None
    began = Execution(
        **{name: execution[name] for name in ("id", "project", "cluster_id", "sla", "timeout_s", "definition")},
        status=receipt.status,
        deadline=receipt.deadline,
        error=None,
        seq=receipt.seq,
        total=len(rows),
        completed=0,
        failed=0,
        skipped=0,
        cancelled=0,
        created_at=receipt.created_at,
        updated_at=receipt.created_at,
        started_at=receipt.created_at if receipt.status == ExecutionStatus.RUNNING else None,
        finished_at=None,
    )
    return Snapshot(began, [_not_started(row) for row in rows], outputs_omitted=False)


def _not_started(row: Mapping[str, Any]) -> Member:
    return Member(
        **{name: row[name] for name in ("id", "name", "identifier", "dependencies", "dependents")},
        status=SatelliteStatus.PENDING,
        reason=None,
        start_time=None,
        end_time=None,
        duration_ms=None,
        error=None,
        error_kind=None,
        attempt=0,
    )


def _dump(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, allow_nan=False, default=str)
