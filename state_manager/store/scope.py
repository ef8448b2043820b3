"""Reads what expressions refer to, and the children that a parent gathers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sqlalchemy import func, select

from state_manager.expansion import Child
from state_manager.states import SatelliteStatus
from state_manager.store.tables import executions, satellites

if TYPE_CHECKING:
    from collections.abc import Collection
    from uuid import UUID

    from sqlalchemy import Engine


@dataclass(frozen=True, slots=True)
class Facts:
    """The facts of an execution that expressions may name: `inputs`, and the fields of `execution`."""

    inputs: dict[str, Any]
    execution: dict[str, str]


@dataclass(frozen=True, slots=True)
class Size:
    """A satellite by name, whether it completed, and the bytes of its output."""

    name: str
    completed: bool
    output_bytes: int


def facts(engine: Engine, execution_id: UUID) -> Facts:
    """Read the facts of an execution; they never change."""
    query = select(executions.c.cluster_id, executions.c.created_at, executions.c.definition).where(
        executions.c.id == execution_id
    )
    with engine.connect() as connection:
        cluster_id, created_at, definition = connection.execute(query).one()
    created = created_at.isoformat().replace("+00:00", "Z")
    return Facts(
        definition.get("inputs", {}), {"id": str(execution_id), "cluster_id": cluster_id, "created_at": created}
    )


def sizes(engine: Engine, execution_id: UUID, names: Collection[str]) -> list[Size]:
    """Read the sizes of the outputs of those of these satellites that there are."""
    query = select(satellites.c.name, satellites.c.status, satellites.c.output_bytes).where(
        satellites.c.execution_id == execution_id, satellites.c.name == func.any(list(names))
    )
    with engine.connect() as connection:
        return [
            Size(name, status is SatelliteStatus.COMPLETED, size) for name, status, size in connection.execute(query)
        ]


def outputs(engine: Engine, execution_id: UUID, names: Collection[str]) -> dict[str, Any]:
    """Read the outputs of those of these satellites that there are, by name."""
    query = select(satellites.c.name, satellites.c.output).where(
        satellites.c.execution_id == execution_id, satellites.c.name == func.any(list(names))
    )
    with engine.connect() as connection:
        return dict(connection.execute(query).all())


def children(engine: Engine, parent: UUID) -> list[Child]:
    """Read the children of a parent, in order."""
    columns = [satellites.c[name] for name in ("name", "index", "status", "output", "error")]
    query = select(*columns).where(satellites.c.parent == parent).order_by(satellites.c.ordinal)
    with engine.connect() as connection:
        return [Child(*row) for row in connection.execute(query)]
