"""The rows of a cluster's satellites, and the templates for those that a fan-out or a group adds. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from uuid_utils.compat import uuid7

from exospherehost.satellites import DEFAULT_QUEUE
from state_manager.dynamic import has_expressions, is_decided_for_each_item, is_dynamic
from state_manager.expansion import GROUP

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from uuid import UUID

    from state_manager.cluster import Cluster, Satellite
    from state_manager.retry import RetryPolicy
    from state_manager.store.satellite_types import SatelliteType


@dataclass(frozen=True, slots=True)
class Rows:
    """Makes the rows of a cluster that was validated, which gave its `types`; `retry` is the default policy."""

    cluster: Cluster
    types: Mapping[str, SatelliteType]
    retry: RetryPolicy

    def of_cluster(self) -> Iterator[dict[str, Any]]:
        """Yield the row of each satellite, as `insert_satellites` reads them."""
        satellites = self.cluster.satellites
        ids = {satellite.name: uuid7() for satellite in satellites}
        dependents: dict[str, list[UUID]] = {name: [] for name in ids}
        for satellite in satellites:
            for name in satellite.dependencies:
                dependents[name].append(ids[satellite.name])
        for ordinal, satellite in enumerate(satellites):
            dynamic = self._dynamic(satellite)
            yield {
                **self._fields(satellite),
                "id": ids[satellite.name],
                "ordinal": ordinal,
                "dynamic": None if dynamic is None else {**dynamic, "scopes": [""]},
                "dependencies": [ids[name] for name in satellite.dependencies],
                "dependents": dependents[satellite.name],
            }

    def _fields(self, satellite: Satellite) -> dict[str, Any]:
        kind = self.types[satellite.uses] if satellite.uses else None
        return {
            "name": satellite.name,
            "identifier": satellite.uses or GROUP,
            "queue": satellite.queue or (kind.queue if kind else DEFAULT_QUEUE),
            "run_when": satellite.run_when,
            "timeout_s": satellite.timeout_s or (kind.timeout_s if kind else None),
            "retry_policy": self.retry.overridden(self.cluster.retry, satellite.retry).as_json(),
            "config": satellite.config,
            "input": satellite.input,
        }

    def _dynamic(self, satellite: Satellite) -> dict[str, Any] | None:
        """Return what is decided when the satellite runs; None for one that has no such thing."""
        if not is_dynamic(satellite):
            return None
        each = is_decided_for_each_item(satellite)
        found: dict[str, Any] = {
            "if": None if each else satellite.condition,
            "for_each": satellite.for_each,
            "max_parallel": satellite.max_parallel,
        }
        if satellite.is_group:
            found["template"] = [self._template(one) for one in satellite.satellites]
        elif satellite.for_each is not None:
            own = {"if": satellite.condition} if each else {}
            values = own if each or has_expressions(satellite) else None
            found["template"] = [{**self._fields(satellite), "name": "", "dependencies": [], "dynamic": values}]
        return {name: value for name, value in found.items() if value is not None}

    def _template(self, satellite: Satellite) -> dict[str, Any]:
        """Return the row of a satellite of a group, with names in place of ids."""
        dynamic = self._dynamic(satellite)
        if dynamic is None and satellite.dependencies:
            dynamic = {}  # its worker has to know the group, in whose names it receives the outputs
        return {**self._fields(satellite), "dependencies": list(satellite.dependencies), "dynamic": dynamic}
