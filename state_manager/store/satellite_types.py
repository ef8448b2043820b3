"""The satellite types that workers have registered, and their cache in one process."""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

from sqlalchemy import func, select
from sqlalchemy.dialects.postgresql import insert

from state_manager.store.tables import satellite_types

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from sqlalchemy import Engine, RowMapping


CACHE_S = 1.0
"""Cache lifetime of a satellite type: a newer schema or queue takes effect after so many seconds."""


@dataclass(frozen=True, slots=True)
class Unavailable:
    """A use of a satellite type that the worker which registered it cannot serve, and why."""

    reason: str
    when: dict[str, Any] = field(default_factory=dict)
    """The values in the configuration that are concerned; empty where every use is."""

    def concerns(self, config: Mapping[str, Any]) -> bool:
        """Tell whether a configuration asks for what is not there."""
        return all(config.get(name) == value for name, value in self.when.items())


@dataclass(frozen=True, slots=True)
class SatelliteType:
    """A kind of satellite that some worker can run, or once could: a type once registered stays valid."""

    identifier: str
    queue: str
    config_schema: dict[str, Any] | None = None
    timeout_s: float | None = None
    kinds: tuple[str, ...] = ()
    """The kinds of errors of its own that it may raise."""
    unavailable: tuple[Unavailable, ...] = ()
    """The uses that the worker which registered it last cannot serve."""


def register_types(engine: Engine, types: Collection[SatelliteType]) -> None:
    """Tell the API what can be submitted; a type that is known already takes the newer schema and queue."""
    rows = [
        {
            "identifier": one.identifier,
            "queue": one.queue,
            "config_schema": one.config_schema,
            "timeout_s": one.timeout_s,
            "kinds": list(one.kinds),
            "unavailable": [asdict(missing) for missing in one.unavailable],
        }
        for one in sorted(types, key=lambda one: one.identifier)
    ]
    statement = insert(satellite_types).values([row | {"last_seen": func.now()} for row in rows])
    fresh = {name: statement.excluded[name] for name in (*rows[0], "last_seen") if name != "identifier"}
    with engine.connect() as connection:
        connection.execute(statement.on_conflict_do_update(index_elements=["identifier"], set_=fresh))


def known_types(engine: Engine, identifiers: Collection[str]) -> dict[str, SatelliteType]:
    """Look up satellite types by identifier; those that nobody registered are not in the answer."""
    query = select(
        satellite_types.c.identifier,
        satellite_types.c.queue,
        satellite_types.c.config_schema,
        satellite_types.c.timeout_s,
        satellite_types.c.kinds,
        satellite_types.c.unavailable,
    ).where(satellite_types.c.identifier.in_(identifiers))
    with engine.connect() as connection:
        rows = connection.execute(query).mappings().all()
    return {row["identifier"]: _type_of(row) for row in rows}


def _type_of(row: RowMapping) -> SatelliteType:
    unavailable = tuple(Unavailable(**missing) for missing in row["unavailable"])
    return SatelliteType(**dict(row) | {"kinds": tuple(row["kinds"]), "unavailable": unavailable})


class SatelliteTypeCache:
    """The satellite types that can be submitted; a type is read again when it has been cached for `CACHE_S`."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._known: dict[str, tuple[float, SatelliteType]] = {}

    def find(self, identifiers: Collection[str]) -> dict[str, SatelliteType]:
        """Look up satellite types; those that nobody registered are not in the answer, and are always looked for."""
        fresh_since = time.monotonic() - CACHE_S
        known = self._known
        wanted = [one for one in identifiers if one not in known or known[one][0] < fresh_since]
        if wanted:
            now = time.monotonic()
            known.update((name, (now, kind)) for name, kind in known_types(self._engine, wanted).items())
        return {one: known[one][1] for one in identifiers if one in known}

    def names(self) -> list[str]:
        """List every identifier that was ever registered."""
        return type_names(self._engine)


def type_names(engine: Engine) -> list[str]:
    """List every identifier that was ever registered."""
    with engine.connect() as connection:
        return list(connection.execute(select(satellite_types.c.identifier)).scalars())
