"""The checks of a cluster against limits, satellite types, queues and retry policies: every fault at once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from state_manager import graph
from state_manager.cluster import walk
from state_manager.configurations import configuration_faults
from state_manager.errors import Fault, InvalidDocument
from state_manager.policies import policy_faults
from state_manager.references import expression_faults
from state_manager.store.queues import known_queues

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence

    from sqlalchemy import Engine

    from state_manager.cluster import Cluster, Satellite
    from state_manager.retry import RetryPolicy
    from state_manager.store.satellite_types import SatelliteType, SatelliteTypeCache

    Placed = Sequence[tuple[str, Satellite]]


def _no_secrets(project: str) -> Collection[str]:  # noqa: ARG001
    return ()


@dataclass(frozen=True, slots=True)
class Validator:
    """Checks clusters. `default_retry` holds where a cluster says nothing; `allowed_queues` are known in any case."""

    engine: Engine
    types: SatelliteTypeCache
    limits: graph.Limits
    default_retry: RetryPolicy
    allowed_queues: frozenset[str] = frozenset()
    secret_names: Callable[[str], Collection[str]] = _no_secrets
    """Looks up the names of a project's secrets."""

    def validate(self, cluster: Cluster, limits: graph.Limits | None = None) -> dict[str, SatelliteType]:
        """Return the types of the cluster's satellites by identifier; raise InvalidDocument with every fault."""
        satellites = list(walk(cluster.satellites))
        types = self.types.find({one.uses for _, one in satellites if one.uses is not None})
        found = [
            *graph.faults(cluster.satellites, limits or self.limits),
            *self._unknown_types(satellites, types),
            *configuration_faults(satellites, types),
            *_unavailable_uses(satellites, types),
            *self._unknown_queues(satellites, types),
            *policy_faults(cluster, {name: one.kinds for name, one in types.items()}, self.default_retry),
            *expression_faults(cluster.satellites, lambda: {*cluster.secrets, *self.secret_names(cluster.project)}),
        ]
        if found:
            raise InvalidDocument(found)
        return types

    def _unknown_types(self, satellites: Placed, types: Mapping[str, SatelliteType]) -> Iterator[Fault]:
        unknown = _grouped((path, one.uses) for path, one in satellites if one.uses and one.uses not in types)
        suggested = graph.Suggestions(self.types.names() if unknown else ())
        for name, places in unknown.items():
            yield _fault_of_many(
                "uses",
                places,
                f"unknown satellite {name!r}{suggested(name) or '.'} "
                "A worker registers it once its module is in SATELLITE_MODULES.",
            )

    def _unknown_queues(self, satellites: Placed, types: Mapping[str, SatelliteType]) -> Iterator[Fault]:
        """Refuse queues that nobody has ever listened to: each one costs a list in Redis and probes of its own."""
        known = self.allowed_queues | {one.queue for one in types.values()}
        unknown = _grouped((path, one.queue) for path, one in satellites if one.queue and one.queue not in known)
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


def _unavailable_uses(satellites: Placed, types: Mapping[str, SatelliteType]) -> Iterator[Fault]:
    """Say what is to be installed for what a satellite asks for, at its configuration or else at its type."""
    for path, satellite in satellites:
        one = types.get(satellite.uses or "")
        for missing in one.unavailable if one else ():
            if missing.concerns(satellite.config):
                field = f"config.{next(iter(missing.when))}" if missing.when else "uses"
                yield Fault(f"{path}.{field}", missing.reason)


def _grouped(found: Iterable[tuple[str, str]]) -> dict[str, list[str]]:
    """Collect the places of each name, so that one mistake made a thousand times is one fault."""
    places: dict[str, list[str]] = {}
    for path, name in found:
        places.setdefault(name, []).append(path)
    return places


def _fault_of_many(field: str, places: Sequence[str], message: str) -> Fault:
    more = len(places) - 1
    also = f" ({more} more {'satellite has' if more == 1 else 'satellites have'} the same.)" if more else ""
    return Fault(f"{places[0]}.{field}", message + also)
