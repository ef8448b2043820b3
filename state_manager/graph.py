"""The checks of a cluster's graph, all faults at once. Pure."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass
from difflib import get_close_matches
from typing import TYPE_CHECKING

from state_manager.cluster import walk
from state_manager.errors import Fault

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Sequence

    from state_manager.cluster import Satellite

_CHILD = re.compile(r"[/\[]")
"""The characters that follow a parent's name in a child's: `parse[3]`, `per-file[3]/parse`, `group/parse`."""

SPELLED_OUT = 20
"""Names of a cycle that are written out; the middle of a longer one is counted instead."""

COMPARISONS = 20_000
"""Largest number of comparisons between wrong names and known ones, for what may have been meant."""

RESEMBLING = 0.5
"""Similarity from which a known name is suggested for a wrong one, by `difflib`'s ratio."""


@dataclass(frozen=True, slots=True)
class Limits:
    """The limits of a cluster's size; `depth` is the number of satellites on its longest path."""

    satellites: int = 10_000
    edges: int = 100_000
    depth: int = 10_000


def faults(satellites: Sequence[Satellite], limits: Limits) -> list[Fault]:
    """List every fault of the graph and of the groups in it. Linear in its size.

    These are exceeded limits, duplicate and ambiguous names, bad dependencies, and cycles.
    """
    found = [*_over_limits(satellites, limits), *_ambiguous_names(satellites)]
    for above, scope in scopes(satellites):
        found += [*_duplicates(scope, above), *_bad_dependencies(scope, above)]
        depth, cycles = _walk(scope)
        found += [Fault(f"{above}satellites[{at}].dependencies", f"cycle: {_spell(names)}") for at, names in cycles]
        if depth > limits.depth:
            found.append(Fault(f"{above}satellites", f"{depth} satellites deep; at most {limits.depth} are allowed"))
    return found


def scopes(satellites: Sequence[Satellite]) -> Iterator[tuple[str, Sequence[Satellite]]]:
    """List the lists of satellites in which names are unique, the groups' too, with what is above each in paths."""
    yield "", satellites
    for path, satellite in walk(satellites):
        if satellite.satellites:
            yield f"{path}.", satellite.satellites


def ancestors(satellites: Sequence[Satellite]) -> list[int]:
    """Return the satellites that end before each one, as a mask: bit n is the n-th satellite.

    Ten thousand masks take 12 MB at most. A satellite on or behind a cycle has all bits: the cycle is the fault.
    """
    index = {satellite.name: at for at, satellite in enumerate(satellites)}
    needs = [{index[name] for name in one.dependencies if name in index} for one in satellites]
    leads_to: list[list[int]] = [[] for _ in satellites]
    for at, needed in enumerate(needs):
        for one in needed:
            leads_to[one].append(at)
    masks = [-1] * len(satellites)
    left = [len(needed) for needed in needs]
    ready = [at for at, count in enumerate(left) if not count]
    while ready:
        at = ready.pop()
        masks[at] = 0
        for one in needs[at]:
            masks[at] |= masks[one] | 1 << one
        for after in leads_to[at]:
            left[after] -= 1
            if not left[after]:
                ready.append(after)
    return masks


def suggestion(name: str, known: Collection[str], cutoff: float = RESEMBLING) -> str:
    """Name the nearest known names, as the end of a sentence."""
    near = get_close_matches(name, known, n=3, cutoff=cutoff)
    return f"; did you mean {' or '.join(repr(one) for one in near)}?" if near else ""


class Suggestions:
    """Suggestions for many names, until `COMPARISONS` comparisons are used up.

    A look at one name costs about 12 µs: a document of thousands of wrong names must not keep its client waiting.
    """

    def __init__(self, known: Collection[str], cutoff: float = RESEMBLING) -> None:
        self.known = known
        self._cutoff = cutoff
        self._left = COMPARISONS
        self._found: dict[str, str] = {}

    def __call__(self, name: str) -> str:
        """Suggest what `name` may have been meant to be."""
        if name not in self._found:
            self._left -= len(self.known)
            self._found[name] = suggestion(name, self.known, self._cutoff) if self._left >= 0 else ""
        return self._found[name]


def _over_limits(satellites: Sequence[Satellite], limits: Limits) -> Iterator[Fault]:
    every = [satellite for _, satellite in walk(satellites)]
    edges = sum(len(satellite.dependencies) for satellite in every)
    for count, what, allowed in (
        (len(every), "satellites", limits.satellites),
        (edges, "dependencies in all", limits.edges),
    ):
        if count > allowed:
            yield Fault("satellites", f"{count} {what}; at most {allowed} are allowed")


def _duplicates(satellites: Sequence[Satellite], above: str) -> Iterator[Fault]:
    first: dict[str, int] = {}
    for at, satellite in enumerate(satellites):
        if first.setdefault(satellite.name, at) != at:
            yield Fault(
                f"{above}satellites[{at}].name",
                f"duplicate name {satellite.name!r}, first used by {above}satellites[{first[satellite.name]}]",
            )


def _ambiguous_names(satellites: Sequence[Satellite]) -> Iterator[Fault]:
    """Refuse names that a child may have at run time: `parse[3]` beside a fan-out `parse`, `a/b` beside a group `a`.

    The parts of a child's name have neither `/` nor `[`, so that it says unambiguously whose child it is.
    """
    parents = {satellite.name for satellite in satellites if satellite.is_parent}
    if not parents:
        return
    for path, satellite in walk(satellites):
        first = _CHILD.split(satellite.name, maxsplit=1)[0]
        in_a_group = path.count("satellites[") > 1
        if first == satellite.name:
            continue
        if satellite.is_parent or in_a_group:
            yield Fault(f"{path}.name", f"{satellite.name!r} has / or [, which mark the children in their names")
        elif first in parents:
            yield Fault(f"{path}.name", f"{satellite.name!r} may become the name of a child of {first!r}")


def _bad_dependencies(satellites: Sequence[Satellite], above: str) -> Iterator[Fault]:
    names = {satellite.name: None for satellite in satellites}
    suggested = Suggestions(names)
    for at, satellite in enumerate(satellites):
        seen: set[str] = set()
        for nth, dependency in enumerate(satellite.dependencies):
            path = f"{above}satellites[{at}].dependencies[{nth}]"
            if dependency in seen:
                yield Fault(path, f"duplicate dependency {dependency!r}")
            elif dependency == satellite.name:
                yield Fault(path, f"self-dependency: {dependency!r} depends on itself")
            elif dependency not in names:
                yield Fault(path, f"unknown dependency {dependency!r}{suggested(dependency)}")
            seen.add(dependency)


def _walk(satellites: Sequence[Satellite]) -> tuple[int, list[tuple[int, list[str]]]]:
    """Take away what has no dependency left, layer by layer; whatever resists is on or behind a cycle.

    A cycle found is taken away too, so that the walk goes on and each tangle is named.
    """
    index = {satellite.name: at for at, satellite in enumerate(satellites)}
    needs = [
        list({index[name] for name in satellite.dependencies if name in index and index[name] != at})
        for at, satellite in enumerate(satellites)
    ]
    leads_to: list[list[int]] = [[] for _ in satellites]
    for at, needed in enumerate(needs):
        for one in needed:
            leads_to[one].append(at)
    left = {at: len(needed) for at, needed in enumerate(needs)}
    layer = [at for at, count in left.items() if not count]
    depth, cycles = 0, []
    tangles = _cycles(needs, left)
    while left:
        if not layer:
            layer = next(tangles)
            cycles.append((layer[0], [satellites[at].name for at in [*layer, layer[0]]]))
        depth += 1
        for at in layer:
            del left[at]
        behind = Counter(after for at in layer for after in leads_to[at] if after in left)
        for after, count in behind.items():
            left[after] -= count
        layer = [after for after in behind if not left[after]]
    return depth, cycles


def _cycles(needs: Sequence[list[int]], left: Collection[int]) -> Iterator[list[int]]:
    """Follow unmet dependencies until one comes back: a cycle, in the order in which it would run.

    Its caller takes the cycle out of `left`, and what it set free. What remains of the trail still waits for
    something, so the search goes on from there, and never walks a way twice.
    """
    trail: dict[int, None] = {}
    for start in range(len(needs)):
        trail[start] = None
        while trail:
            at = next(reversed(trail))
            if at not in left:
                del trail[at]
            elif needs[at][-1] not in left:
                needs[at].pop()
            elif needs[at][-1] not in trail:
                trail[needs[at][-1]] = None
            else:
                start_of_cycle = needs[at][-1]
                cycle = []
                while start_of_cycle in trail:
                    cycle.append(trail.popitem()[0])
                yield cycle


def _spell(names: Sequence[str]) -> str:
    if len(names) > SPELLED_OUT:
        half = SPELLED_OUT // 2
        names = [*names[:half], f"… {len(names) - 2 * half} more …", *names[-half:]]
    return " → ".join(names)
