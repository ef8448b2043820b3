"""The checks of a cluster's retry policies, each merged from satellite, cluster and defaults. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from state_manager.cluster import walk
from state_manager.errors import Fault
from state_manager.graph import RESEMBLING, Suggestions
from state_manager.retry import NEVER_RETRIED, ErrorKind

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping

    from state_manager.cluster import Cluster
    from state_manager.retry import RetryPolicy

BUILT_IN = frozenset(kind.value for kind in ErrorKind) - {NEVER_RETRIED}

OWN_KIND = "x-"
"""Prefix of the kinds of errors that need no declaration."""

MISSPELLED = 0.85
"""Similarity from which a kind counts as a misspelled one, by `difflib`'s ratio: two letters swapped in `timeout`."""


def policy_faults(cluster: Cluster, kinds: Mapping[str, Collection[str]], default: RetryPolicy) -> Iterator[Fault]:
    """Name unknown kinds of errors in `retry_on`, and delays that contradict each other.

    `kinds` are the satellite types that are known, with the kinds of errors that each declares.
    """
    yield from _unknown_kinds(cluster, kinds)
    yield from _bad_delays(cluster, default)


def _unknown_kinds(cluster: Cluster, kinds: Mapping[str, Collection[str]]) -> Iterator[Fault]:
    """Judge a kind by the types that may raise it; where one of them is unknown, name only what looks misspelled."""
    every = [(path, one, one.uses) for path, one in walk(cluster.satellites) if one.uses is not None]
    levels = [("retry_policy", cluster.retry, frozenset(uses for _, _, uses in every))]
    levels += [(f"{path}.retry_policy", one.retry, frozenset({uses})) for path, one, uses in every if one.retry]
    suggestions: dict[tuple[frozenset[str], bool], Suggestions] = {}
    for path, retry, types in levels:
        if "retry_on" not in retry:
            continue
        declaring = types.intersection(kinds)
        one_is_unknown = declaring != types  # and may declare any kind
        suggested = suggestions.get((declaring, one_is_unknown))
        if suggested is None:
            known = BUILT_IN.union(*(kinds[name] for name in declaring))
            suggested = Suggestions(known, cutoff=MISSPELLED if one_is_unknown else RESEMBLING)
            suggestions[declaring, one_is_unknown] = suggested
        for at, kind in enumerate(retry["retry_on"]):
            if kind in suggested.known or kind.startswith(OWN_KIND):
                continue
            meant = suggested(kind)
            if meant or not one_is_unknown:
                yield Fault(
                    f"{path}.retry_on[{at}]",
                    f"unknown kind of error {kind!r}{meant or '.'} A satellite's own kind is declared "
                    f"with @satellite(…, kinds=[…]), or begins with '{OWN_KIND}'.",
                )


def _bad_delays(cluster: Cluster, default: RetryPolicy) -> Iterator[Fault]:
    """Hold `max_delay` against `base_delay`, wherever each comes from; the fault is the most specific level's."""
    defaults: dict[str, Any] = {"base_delay": default.base_delay, "max_delay": default.max_delay}
    of_cluster = defaults | cluster.retry
    cluster_is_named = False
    for place, satellite in walk(cluster.satellites):
        own = defaults.keys() & satellite.retry.keys()
        if not own and cluster_is_named:
            continue
        policy = of_cluster | satellite.retry
        base, most = policy["base_delay"], policy["max_delay"]
        if most < base:
            cluster_is_named |= not own
            level = satellite.retry if own else cluster.retry
            field = "max_delay" if "max_delay" in level else "base_delay"
            path = f"{place}.retry_policy.{field}" if own else f"retry_policy.{field}"
            yield Fault(
                path,
                f"max_delay, {_origin(most, 'max_delay', satellite.retry, cluster.retry)}, is below "
                f"base_delay, {_origin(base, 'base_delay', satellite.retry, cluster.retry)}",
            )


def _origin(value: float, field: str, of_satellite: Mapping[str, Any], of_cluster: Mapping[str, Any]) -> str:
    """Write a delay with the level that set it."""
    if field in of_satellite:
        return f"{value:g} s"
    return f"{value:g} s ({'of the cluster' if field in of_cluster else 'the default'})"
