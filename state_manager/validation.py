"""The checks of a cluster against limits, satellite types, queues and retry policies: every fault at once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from jsonschema.exceptions import SchemaError
from jsonschema.validators import validator_for

from state_manager import graph
from state_manager.errors import Fault, InvalidDocument
from state_manager.policies import policy_faults
from state_manager.store.queues import known_queues

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from sqlalchemy import Engine

    from state_manager.cluster import Cluster, Satellite
    from state_manager.retry import RetryPolicy
    from state_manager.store.satellite_types import SatelliteType, SatelliteTypeCache


@dataclass(frozen=True, slots=True)
class Validator:
    """Checks clusters. `default_retry` holds where a cluster says nothing; `allowed_queues` are known in any case."""

    engine: Engine
    types: SatelliteTypeCache
    limits: graph.Limits
    default_retry: RetryPolicy
    allowed_queues: frozenset[str] = frozenset()

    def validate(self, cluster: Cluster, limits: graph.Limits | None = None) -> dict[str, SatelliteType]:
        """Return the types of the cluster's satellites by identifier; raise InvalidDocument with every fault."""
        satellites = cluster.satellites
        types = self.types.find({satellite.uses for satellite in satellites})
        found = [
            *graph.faults(satellites, limits or self.limits),
            *self._unknown_types(satellites, types),
            *_bad_configurations(satellites, types),
            *_unavailable_uses(satellites, types),
            *self._unknown_queues(satellites, types),
            *policy_faults(cluster, {name: one.kinds for name, one in types.items()}, self.default_retry),
        ]
        if found:
            raise InvalidDocument(found)
        return types

    def _unknown_types(self, satellites: Sequence[Satellite], types: Mapping[str, SatelliteType]) -> Iterator[Fault]:
        unknown = _grouped((at, one.uses) for at, one in enumerate(satellites) if one.uses not in types)
        suggested = graph.Suggestions(self.types.names() if unknown else ())
        for name, places in unknown.items():
            yield _fault_of_many(
                "uses",
                places,
                f"unknown satellite {name!r}{suggested(name) or '.'} "
                "A worker registers it once its module is in SATELLITE_MODULES.",
            )

    def _unknown_queues(self, satellites: Sequence[Satellite], types: Mapping[str, SatelliteType]) -> Iterator[Fault]:
        """Refuse queues that nobody has ever listened to: each one costs a list in Redis and probes of its own."""
        known = self.allowed_queues | {one.queue for one in types.values()}
        unknown = _grouped((at, one.queue) for at, one in enumerate(satellites) if one.queue and one.queue not in known)
        if not unknown:
            return
        known |= known_queues(self.engine)
        suggested = graph.Suggestions(known)
        for name, places in unknown.items():
            if name not in known:
                yield _fault_of_many(
                    "queue",
                    places,
                    f"unknown queue {name!r}{suggested(name) or '.'} "
                    f"No worker has listened to it: start one with -Q {name}, or name it in ALLOWED_QUEUES.",
                )


def check_schema(schema: dict[str, Any]) -> None:
    """Raise ValueError where this is no JSON schema."""
    try:
        validator_for(schema).check_schema(schema)
    except SchemaError as error:
        raise ValueError(f"not a JSON schema: {error.message}") from error


def _bad_configurations(satellites: Sequence[Satellite], types: Mapping[str, SatelliteType]) -> Iterator[Fault]:
    """Name what a type's schema refuses of a configuration."""
    schemas = {name: one.config_schema for name, one in types.items() if one.config_schema is not None}
    validators = {name: validator_for(schema)(schema) for name, schema in schemas.items()}
    for at, satellite in enumerate(satellites):
        if validator := validators.get(satellite.uses):
            for error in validator.iter_errors(satellite.config):
                yield Fault(f"satellites[{at}].config{error.json_path[1:]}", error.message)


def _unavailable_uses(satellites: Sequence[Satellite], types: Mapping[str, SatelliteType]) -> Iterator[Fault]:
    """Say what is to be installed for what a satellite asks for, at its configuration or else at its type."""
    for at, satellite in enumerate(satellites):
        one = types.get(satellite.uses)
        for missing in one.unavailable if one else ():
            if missing.concerns(satellite.config):
                field = f"config.{next(iter(missing.when))}" if missing.when else "uses"
                yield Fault(f"satellites[{at}].{field}", missing.reason)


def _grouped(found: Iterable[tuple[int, str]]) -> dict[str, list[int]]:
    """Collect the places of each name, so that one mistake made a thousand times is one fault."""
    places: dict[str, list[int]] = {}
    for at, name in found:
        places.setdefault(name, []).append(at)
    return places


def _fault_of_many(field: str, places: Sequence[int], message: str) -> Fault:
    more = len(places) - 1
    also = f" ({more} more {'satellite has' if more == 1 else 'satellites have'} the same.)" if more else ""
    return Fault(f"satellites[{places[0]}].{field}", message + also)
