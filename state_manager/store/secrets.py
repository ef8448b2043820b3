"""The encrypted secrets: those of projects, and those that came with an execution."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import TYPE_CHECKING

from sqlalchemy import bindparam, delete, func, or_, select, update
from sqlalchemy.dialects.postgresql import insert
from uuid_utils.compat import uuid7

from state_manager.secrets.envelope import Place, Sealed
from state_manager.store.tables import executions, secrets

if TYPE_CHECKING:
    from datetime import datetime
    from uuid import UUID

    from sqlalchemy import ColumnElement, Engine

_SEALED = [secrets.c[field.name] for field in fields(Sealed)]


@dataclass(frozen=True, slots=True)
class ListedSecret:
    """A secret without its value."""

    name: str
    created_at: datetime
    updated_at: datetime


@dataclass(frozen=True, slots=True)
class StoredSecret:
    """A secret as it is stored, and its place."""

    id: UUID
    place: Place
    sealed: Sealed


def put(engine: Engine, place: Place, sealed: Sealed) -> None:
    """Store a secret of a project, in place of one of the same name."""
    now = func.clock_timestamp()
    row = insert(secrets).values(
        id=uuid7(), project=place.project, name=place.name, created_at=now, updated_at=now,
        **{field.name: getattr(sealed, field.name) for field in fields(Sealed)},
    )  # fmt: skip
    fresh = {name: row.excluded[name] for name in ("key_id", "wrapped_key", "ciphertext", "updated_at")}
    with engine.connect() as connection:
        connection.execute(row.on_conflict_do_update(constraint="uq_secrets_execution_id_project_name", set_=fresh))


def remove(engine: Engine, project: str, name: str) -> bool:
    """Delete a secret of a project; tell whether it was there."""
    with engine.connect() as connection:
        deleted = connection.execute(delete(secrets).where(_of_project(project), secrets.c.name == name))
    return deleted.rowcount > 0


def listed(engine: Engine, project: str) -> list[ListedSecret]:
    """List the secrets of a project, by name."""
    columns = [secrets.c[field.name] for field in fields(ListedSecret)]
    query = select(*columns).where(_of_project(project)).order_by(secrets.c.name)
    with engine.connect() as connection:
        return [ListedSecret(*row) for row in connection.execute(query)]


def known_secret_names(engine: Engine, project: str) -> frozenset[str]:
    """Return the names of a project's own secrets, which any of its executions may read."""
    with engine.connect() as connection:
        return frozenset(connection.scalars(select(secrets.c.name).where(_of_project(project))))


def find(engine: Engine, execution_id: UUID, name: str) -> StoredSecret | None:
    """Read the secret of this name that an execution sees: its own, else its project's."""
    query = (
        select(secrets.c.id, executions.c.project, secrets.c.execution_id, *_SEALED)
        .join_from(executions, secrets, _visible())
        .where(executions.c.id == execution_id, secrets.c.name == name)
        .order_by(secrets.c.execution_id.nulls_last())
        .limit(1)
    )
    with engine.connect() as connection:
        row = connection.execute(query).one_or_none()
    if row is None:
        return None
    # What the reader asks for, not what the row says of itself: decryption checks that they agree.
    own = None if row.execution_id is None else execution_id
    return StoredSecret(row.id, Place(row.project, name, own), Sealed(*row[3:]))


def names(engine: Engine, execution_id: UUID) -> list[str]:
    """List the names of the secrets that an execution sees, its own and its project's."""
    query = (
        select(secrets.c.name)
        .distinct()
        .join_from(executions, secrets, _visible())
        .where(executions.c.id == execution_id)
        .order_by(secrets.c.name)
    )
    with engine.connect() as connection:
        return list(connection.scalars(query))


def under_other_keys(engine: Engine, key_id: str, *, after: UUID, limit: int) -> list[StoredSecret]:
    """List secrets whose data key is under another master key than this, in the order of their ids."""
    query = (
        select(secrets.c.id, secrets.c.project, secrets.c.name, secrets.c.execution_id, *_SEALED)
        .where(secrets.c.key_id != key_id, secrets.c.id > after)
        .order_by(secrets.c.id)
        .limit(limit)
    )
    with engine.connect() as connection:
        rows = connection.execute(query).all()
    return [StoredSecret(row[0], Place(*row[1:4]), Sealed(*row[4:])) for row in rows]


def replace_wrapped_key(engine: Engine, found: StoredSecret, fresh: Sealed) -> bool:
    """Store a data key under another master key, unless the secret was changed since it was read; tell whether."""
    changed = (
        update(secrets)
        .where(secrets.c.id == found.id, secrets.c.wrapped_key == bindparam("before"))
        .values(key_id=fresh.key_id, wrapped_key=fresh.wrapped_key)
    )
    with engine.connect() as connection:
        return connection.execute(changed, {"before": found.sealed.wrapped_key}).rowcount > 0


def _of_project(project: str) -> ColumnElement[bool]:
    return secrets.c.execution_id.is_(None) & (secrets.c.project == project)


def _visible() -> ColumnElement[bool]:
    """Join an execution with the secrets that it sees."""
    return or_(
        secrets.c.execution_id == executions.c.id,
        secrets.c.execution_id.is_(None) & (secrets.c.project == executions.c.project),
    )
