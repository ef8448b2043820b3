"""The names that an expression refers to, by its syntax tree: satellites, secrets, and the roots of its scope.

The tree is walked as it would be evaluated, with places in the scope in the role of values: what a name refers to
depends on where it stands. In filters, in projections and behind most pipes names belong to other values than the
scope.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum, auto
from typing import Any

from state_manager.graph import suggestion

ROOTS = ("satellites", "inputs", "secrets", "execution", "item", "index")
OF_THE_FAN_OUT = frozenset({"item", "index"})
OF_THE_EXECUTION = ("id", "cluster_id", "created_at")


@dataclass(frozen=True, slots=True)
class Names:
    """The satellites and secrets that are read, in the order of their mention, the roots, and what is wrong."""

    satellites: tuple[str, ...] = ()
    secrets: tuple[str, ...] = ()
    roots: frozenset[str] = frozenset()
    faults: tuple[str, ...] = ()

    @property
    def item(self) -> bool:
        """Tell whether the item or the index of a fan-out is read."""
        return not self.roots.isdisjoint(OF_THE_FAN_OUT)


def names_of(tree: dict[str, Any]) -> Names:
    """List what the expression of this syntax tree refers to."""
    walk = _Walk()
    walk.read(walk.visit(tree, _Place(_Kind.SCOPE)))
    return Names(tuple(walk.satellites), tuple(walk.secrets), frozenset(walk.roots), tuple(dict.fromkeys(walk.faults)))


class _Kind(Enum):
    SCOPE = auto()
    SATELLITES = auto()
    SATELLITE = auto()
    SECRETS = auto()
    EXECUTION = auto()
    VALUE = auto()


@dataclass(frozen=True, slots=True)
class _Place:
    kind: _Kind
    name: str = ""


_VALUE = _Place(_Kind.VALUE)
_INSIDE = {"satellites": _Kind.SATELLITES, "secrets": _Kind.SECRETS, "execution": _Kind.EXECUTION}


@dataclass(slots=True)
class _Walk:
    satellites: dict[str, None] = field(default_factory=dict)
    secrets: dict[str, None] = field(default_factory=dict)
    roots: set[str] = field(default_factory=set)
    faults: list[str] = field(default_factory=list)

    def visit(self, node: dict[str, Any], current: _Place) -> _Place:
        """Return the place that a node's value comes from, when it is evaluated at `current`."""
        children = node["children"]
        match node["type"]:
            case "field":
                return self._field(node["value"], current)
            case "current" | "identity":
                return current
            case "subexpression" | "index_expression" | "pipe":
                for child in children:
                    current = self.visit(child, current)
                return current
            case "index" | "slice":
                self.read(current)
            case "projection" | "value_projection" | "filter_projection":
                self.read(self.visit(children[0], current))
                for child in children[1:]:
                    self.read(self.visit(child, _VALUE))
            case "expref":
                self.visit(children[0], _VALUE)
            case _:
                for child in children:
                    self.read(self.visit(child, current))
        return _VALUE

    def read(self, place: _Place) -> None:
        """Refuse to read as a whole what can only be read by name, so that all names are known beforehand.

        The scope itself can be read: all that is in it but satellites and secrets, of which it holds what is named.
        """
        if place.kind is _Kind.SCOPE:
            self.roots |= {"inputs", "execution"}
        elif place.kind is _Kind.SATELLITES:
            self.faults.append("satellites are read by their names alone: satellites.NAME.output")
        elif place.kind is _Kind.SATELLITE:
            self.faults.append(f"of a satellite its output can be read: {written(place.name)}.output")
        elif place.kind is _Kind.SECRETS:
            self.faults.append("secrets are read by their names alone: secrets.NAME")

    def _field(self, name: str, current: _Place) -> _Place:
        match current.kind:
            case _Kind.SCOPE if name in ROOTS:
                self.roots.add(name)
                return _Place(_INSIDE.get(name, _Kind.VALUE))
            case _Kind.SCOPE:
                meant = suggestion(name, ROOTS) or f"; known are {', '.join(ROOTS)}"
                self.faults.append(f"unknown name {name!r}{meant}")
            case _Kind.SATELLITES:
                self.satellites[name] = None
                return _Place(_Kind.SATELLITE, name)
            case _Kind.SATELLITE if name != "output":
                self.read(current)
            case _Kind.SECRETS:
                self.secrets[name] = None
            case _Kind.EXECUTION if name not in OF_THE_EXECUTION:
                self.faults.append(f"execution has no {name!r}; it has {', '.join(OF_THE_EXECUTION)}")
        return _VALUE


def written(name: str) -> str:
    """Write a satellite's name as an expression has it, quoted where that is needed."""
    plain = name.replace("-", "_").isidentifier() and name.isascii() and not name.startswith("-")
    quoted = name if plain else '"' + name.replace("\\", "\\\\").replace('"', '\\"') + '"'
    return f"satellites.{quoted}"
