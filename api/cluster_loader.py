"""Conversion of a document into a validated cluster; reports every fault of its schema and its meaning at once."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from marshmallow import ValidationError

from api.cluster_document import ClusterDocument, RetryPolicyDocument
from api.faults import faults_of
from state_manager.cluster import Cluster, Satellite
from state_manager.errors import Fault, InvalidDocument

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping

    from state_manager.graph import Limits
    from state_manager.store.satellite_types import SatelliteType
    from state_manager.validation import Validator

_CLUSTER = ClusterDocument()
_POLICY = RetryPolicyDocument()
_NOBODY = "\x01"
"""Prefix of the placeholders for unreadable names; no valid name contains this character."""


def load(validator: Validator, document: Mapping[str, Any]) -> tuple[Cluster, dict[str, SatelliteType]]:
    """Return the cluster that this document describes, and the types of its satellites; raises InvalidDocument.

    Where the shape is at fault, what can be read of the document is validated too, so that all faults come at once.
    """
    _refuse_oversize(document, validator.limits)
    try:
        cluster: Cluster = _CLUSTER.load(document)
    except ValidationError as error:
        found = list(faults_of(error.messages_dict))
        raise InvalidDocument([*found, *_other_faults(validator, document, found)]) from error
    return cluster, validator.validate(cluster)


def _refuse_oversize(document: Mapping[str, Any], limits: Limits) -> None:
    """Refuse a document that is too large at once, instead of with a fault for each of a million satellites."""
    satellites = _listed(document.get("satellites"))
    edges = sum(len(_listed(one.get("dependencies"))) for one in satellites if isinstance(one, dict))
    for count, what, allowed in (
        (len(satellites), "satellites", limits.satellites),
        (edges, "dependencies in all", limits.edges),
    ):
        if count > allowed:
            raise InvalidDocument([Fault("satellites", f"{count} {what}; at most {allowed} are allowed")])


def _other_faults(validator: Validator, document: Mapping[str, Any], shape: Collection[Fault]) -> Iterator[Fault]:
    """Validate what can be read of the document; a fault at or below a fault of the shape only repeats it."""
    read = [_readable(at, one) for at, one in enumerate(_listed(document.get("satellites")))]
    satellites = (*read, *_strangers(read))
    known = {fault.path for fault in shape} | {f"satellites[{at}]" for at in range(len(read), len(satellites))}
    roomy = replace(validator.limits, satellites=len(satellites))
    try:
        validator.validate(Cluster("", satellites, retry=_readable_policy(document)), roomy)
    except InvalidDocument as error:
        yield from (fault for fault in error.faults if known.isdisjoint(_prefixes(fault.path)))


def _readable(at: int, raw: object) -> Satellite:
    """Read what validation needs of a satellite; an unreadable name or type is replaced by one of its own."""
    given = raw if isinstance(raw, dict) else {}
    name, uses, config, queue = (given.get(field) for field in ("name", "uses", "config", "queue"))
    return Satellite(
        name=name if isinstance(name, str) else f"{_NOBODY}{at}",
        uses=uses if isinstance(uses, str) and uses else _NOBODY,
        config=config if isinstance(config, dict) else {},
        dependencies=tuple(
            one if isinstance(one, str) else f"{_NOBODY}{at}.{nth}"
            for nth, one in enumerate(_listed(given.get("dependencies")))
        ),
        queue=queue if isinstance(queue, str) else None,
        retry=_readable_policy(given),
    )


def _readable_policy(given: Mapping[str, Any]) -> dict[str, Any]:
    try:
        policy: dict[str, Any] = _POLICY.load(given.get("retry_policy", {}))
    except ValidationError:
        return {}
    return policy


def _strangers(read: Collection[Satellite]) -> list[Satellite]:
    """Make satellites of the unknown dependencies where a satellite's name cannot be read: each may be that name."""
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
