"""From a document to a cluster, with every fault of its shape and of its graph at once."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from marshmallow import ValidationError

from api.cluster_document import ClusterDocument
from api.faults import faults_of
from state_manager import submission
from state_manager.cluster import Cluster, Satellite
from state_manager.errors import Fault, InvalidDocument

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping

    from state_manager.graph import Limits
    from state_manager.store.satellite_types import SatelliteTypeCache

_CLUSTER = ClusterDocument()
_NOBODY = "\x01"
"""Begins the names that stand for unreadable ones; no sound one holds this character."""


def load(types_cache: SatelliteTypeCache, document: Mapping[str, Any], limits: Limits) -> Cluster:
    """Make the cluster that this document describes.

    Raises InvalidDocument. Where the shape is at fault, with the faults of what can be read of the graph too;
    where it is sound, the graph is left to `submission.submit`.
    """
    _refuse_oversize(document, limits)
    try:
        cluster: Cluster = _CLUSTER.load(document)
    except ValidationError as error:
        found = list(faults_of(error.messages_dict))
        raise InvalidDocument([*found, *_graph_faults(types_cache, document, limits, found)]) from error
    return cluster


def _refuse_oversize(document: Mapping[str, Any], limits: Limits) -> None:
    """Refuse at once what is larger than any cluster: nobody reads a fault for each of a million satellites."""
    satellites = _listed(document.get("satellites"))
    edges = sum(len(_listed(one.get("dependencies"))) for one in satellites if isinstance(one, dict))
    for count, what, allowed in (
        (len(satellites), "satellites", limits.satellites),
        (edges, "dependencies in all", limits.edges),
    ):
        if count > allowed:
            raise InvalidDocument([Fault("satellites", f"{count} {what}; at most {allowed} are allowed")])


def _graph_faults(
    types_cache: SatelliteTypeCache, document: Mapping[str, Any], limits: Limits, shape: Collection[Fault]
) -> Iterator[Fault]:
    """Check what can be read of the graph; a fault at or below a fault of the shape only repeats it."""
    read = [_read(at, one) for at, one in enumerate(_listed(document.get("satellites")))]
    strangers = _strangers(read)
    known = {fault.path for fault in shape} | {
        f"satellites[{at}]" for at in range(len(read), len(read) + len(strangers))
    }
    roomy = replace(limits, satellites=len(read) + len(strangers))
    try:
        submission.check(types_cache, [*read, *strangers], roomy)
    except InvalidDocument as error:
        yield from (fault for fault in error.faults if known.isdisjoint(_prefixes(fault.path)))


def _read(at: int, raw: object) -> Satellite:
    """Read what the graph needs of a satellite; what cannot be read is nobody, under a name of its own."""
    given = raw if isinstance(raw, dict) else {}
    name, uses, config = given.get("name"), given.get("uses"), given.get("config")
    return Satellite(
        name=name if isinstance(name, str) else f"{_NOBODY}{at}",
        uses=uses if isinstance(uses, str) and uses else _NOBODY,
        config=config if isinstance(config, dict) else {},
        dependencies=tuple(
            one if isinstance(one, str) else f"{_NOBODY}{at}.{nth}"
            for nth, one in enumerate(_listed(given.get("dependencies")))
        ),
    )


def _strangers(read: Collection[Satellite]) -> list[Satellite]:
    """Where a satellite's name cannot be read, any unknown dependency may mean it: let such names be known."""
    names = {satellite.name for satellite in read}
    if not any(name.startswith(_NOBODY) for name in names):
        return []
    meant = {one for satellite in read for one in satellite.dependencies} - names
    return [Satellite(name=one, uses=_NOBODY) for one in sorted(meant)]


def _prefixes(path: str) -> Iterator[str]:
    """List the paths above this one, and itself: `a`, `a[0]`, `a[0].b`."""
    yield path
    for at, character in enumerate(path):
        if character in ".[":
            yield path[:at]


def _listed(value: object) -> list[Any]:
    return value if isinstance(value, list) else []
