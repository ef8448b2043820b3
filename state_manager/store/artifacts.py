"""The rows of artifacts. Their bytes are elsewhere: `artifact_bytes`."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, fields
from typing import TYPE_CHECKING, Any, LiteralString
from uuid import UUID

from sqlalchemy import select

from state_manager.errors import LateOutcome
from state_manager.store.data_tables import artifacts
from state_manager.store.engine import call
from state_manager.store.tables import executions, satellites

if TYPE_CHECKING:
    from datetime import datetime

    from sqlalchemy import Engine, Select

    from state_manager.store.transitions import AttemptToken

_PUT: LiteralString = "SELECT answer, replaced FROM put_artifact(%(satellite)s, %(claim)s, %(artifact)s::json)"


@dataclass(frozen=True, slots=True)
class NewArtifact:
    """An artifact whose bytes are in place, at `location`."""

    id: UUID
    name: str
    media_type: str
    size: int
    sha256: str
    location: str


@dataclass(frozen=True, slots=True)
class Artifact(NewArtifact):
    """An artifact, and where it comes from: `satellite` is the name."""

    execution_id: UUID
    satellite_id: UUID
    satellite: str
    attempt: int
    created_at: datetime


def put(engine: Engine, attempt: AttemptToken, new: NewArtifact) -> UUID | None:
    """Keep an artifact; return the one of the same satellite and name that it replaces, whose bytes can go.

    Raises LateOutcome where the attempt was taken away. Safe to send again: then it replaces nothing.
    """
    artifact = json.dumps(asdict(new), default=str)
    answer, replaced = call(engine, _PUT, {"satellite": attempt.id, "claim": attempt.claim, "artifact": artifact})
    if answer == "late":
        raise LateOutcome
    return None if replaced is None else UUID(str(replaced))


def get(engine: Engine, artifact_id: UUID) -> Artifact | None:
    """Read an artifact."""
    return _one(engine, _query().where(artifacts.c.id == artifact_id))


def get_of_same_project(engine: Engine, artifact_id: UUID, execution_id: UUID) -> Artifact | None:
    """Read an artifact of an execution, or of another one of its project."""
    project = select(executions.c.project).where(executions.c.id == execution_id).scalar_subquery()
    query = _query().join(executions, executions.c.id == artifacts.c.execution_id)
    return _one(engine, query.where(artifacts.c.id == artifact_id, executions.c.project == project))


def find(engine: Engine, execution_id: UUID, *, after: UUID | None, limit: int) -> list[Artifact] | None:
    """List the artifacts of an execution after one of them, oldest first; None where there is no such execution."""
    query = _query().where(artifacts.c.execution_id == execution_id).order_by(artifacts.c.id).limit(limit)
    with engine.connect() as connection:
        rows = connection.execute(query if after is None else query.where(artifacts.c.id > after)).all()
        if rows or connection.execute(select(executions.c.id).where(executions.c.id == execution_id)).first():
            return [Artifact(*row) for row in rows]
    return None


def _query() -> Select[Any]:
    columns = (satellites.c.name if one.name == "satellite" else artifacts.c[one.name] for one in fields(Artifact))
    return select(*columns).join(satellites, satellites.c.id == artifacts.c.satellite_id)


def _one(engine: Engine, query: Select[Any]) -> Artifact | None:
    with engine.connect() as connection:
        row = connection.execute(query).one_or_none()
    return None if row is None else Artifact(*row)
