"""Conversion of a document into a validated cluster; reports every fault of its schema and its meaning at once."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from marshmallow import ValidationError

from api.cluster_document import ClusterDocument, RetryPolicyDocument
from api.faults import faults_of
from state_manager.cluster import MAX_GROUPS, Cluster, Satellite, walk
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
    level = _listed(document.get("satellites"))
    count = edges = depth = 0
    while level:
        if depth > MAX_GROUPS:
            raise InvalidDocument([Fault("satellites", f"groups are nested more than {MAX_GROUPS} deep")])
        depth += 1
        count += len(level)
        given = [one for one in level if isinstance(one, dict)]
        edges += sum(len(_listed(one.get("dependencies"))) for one in given)
        level = [inner for one in given if "satellites" in one for inner in _listed(one["satellites"])]
    for number, what, allowed in (
        (count, "satellites", limits.satellites),
        (edges, "dependencies in all", limits.edges),
    ):
        if number > allowed:
            raise InvalidDocument([Fault("satellites", f"{number} {what}; at most {allowed} are allowed")])


def _other_faults(validator: Validator, document: Mapping[str, Any], shape: Collection[Fault]) -> Iterator[Fault]:
    """Validate what can be read of the document; a fault at or below a fault of the shape only repeats it."""
    known = {fault.path for fault in shape}
    satellites = _readable_list(document.get("satellites"), "", known)
    identifier, secrets = document.get("identifier"), document.get("secrets")
    cluster = Cluster(
        identifier if isinstance(identifier, str) else "",
        satellites,
        secrets=secrets if isinstance(secrets, dict) else {},
        retry=_readable_policy(document),
    )
    roomy = replace(validator.limits, satellites=sum(1 for _ in walk(satellites)))
    try:
        validator.validate(cluster, roomy)
    except InvalidDocument as error:
        yield from (fault for fault in error.faults if known.isdisjoint(_prefixes(fault.path)))


def _readable_list(raw: object, above: str, known: set[str]) -> tuple[Satellite, ...]:
    """Read a list of satellites; adds to `known` the paths of those that only stand for what cannot be read."""
    read = [_readable(at, one, f"{above}satellites[{at}].", known) for at, one in enumerate(_listed(raw))]
    strangers = _strangers(read)
    known |= {f"{above}satellites[{at}]" for at in range(len(read), len(read) + len(strangers))}
    return (*read, *strangers)


def _readable(at: int, raw: object, above: str, known: set[str]) -> Satellite:
    """Read what validation needs of a satellite; an unreadable name or type is replaced by one of its own."""
    given = raw if isinstance(raw, dict) else {}
    name, uses, config, queue = (given.get(field) for field in ("name", "uses", "config", "queue"))
    own, condition, for_each = (given.get(field) for field in ("input", "if", "for_each"))
    inner = _readable_list(given.get("satellites"), above, known)
    return Satellite(
        name=name if isinstance(name, str) else f"{_NOBODY}{at}",
        uses=uses if isinstance(uses, str) and uses else None if "satellites" in given else _NOBODY,
        config=config if isinstance(config, dict) else {},
        input=own if isinstance(own, dict) else {},
        dependencies=tuple(
            one if isinstance(one, str) else f"{_NOBODY}{at}.{nth}"
            for nth, one in enumerate(_listed(given.get("dependencies")))
        ),
        queue=queue if isinstance(queue, str) else None,
        retry=_readable_policy(given),
        condition=condition if isinstance(condition, str) else None,
        for_each=for_each if isinstance(for_each, str | list) else None,
        satellites=inner,
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
