"""Stuck executions, whose rows no transition would change: find and repair them. A healthy system has none."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from sqlalchemy import func, select, text

from state_manager.store.tables import executions
from state_manager.store.transitions import as_settled

if TYPE_CHECKING:
    from datetime import timedelta
    from uuid import UUID

    from sqlalchemy import Engine

    from state_manager.store.transitions import Settled

_FAULTS = text("SELECT unqueued, miscounted, unopened, unended FROM faults_of(:id)")
_REPAIR = text("SELECT wrong, ready, ended, admitted FROM repair_stuck(:id, :max_concurrent)")


@dataclass(frozen=True, slots=True)
class Faults:
    """The rows of a running execution that no transition leaves so (`sql/stuck.sql`)."""

    unqueued: tuple[UUID, ...]
    miscounted: tuple[UUID, ...]
    unopened: tuple[UUID, ...]
    unended: bool

    def any(self) -> bool:
        """Tell whether there are any."""
        return bool(self.unqueued or self.miscounted or self.unopened or self.unended)


def idle_execution(engine: Engine, after: UUID | None, idle_for: timedelta) -> UUID | None:
    """Find the next running execution, by id, in which nothing has changed for so long."""
    query = (
        select(executions.c.id)
        .where(executions.c.status == "running", executions.c.updated_at < func.clock_timestamp() - idle_for)
        .order_by(executions.c.id)
        .limit(1)
    )
    with engine.connect() as connection:
        return connection.execute(query if after is None else query.where(executions.c.id > after)).scalar()


def faults_of(engine: Engine, execution_id: UUID) -> Faults:
    """Compare an execution's rows with each other, as of one moment."""
    with engine.connect() as connection:
        row = connection.execute(_FAULTS, {"id": execution_id}).one()
    return Faults(tuple(row.unqueued), tuple(row.miscounted), tuple(row.unopened), row.unended)


def repair(engine: Engine, execution_id: UUID, *, max_concurrent: int) -> tuple[int, Settled]:
    """Put right what is wrong in an execution; return how much that was, and what follows from it."""
    with engine.connect() as connection:
        row = connection.execute(_REPAIR, {"id": execution_id, "max_concurrent": max_concurrent}).one()
    return row.wrong, as_settled((), row.ready, row.ended, row.admitted)
