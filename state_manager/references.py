"""The checks of a cluster's expressions: syntax, and whether what they refer to will be there. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from state_manager.cluster import MAX_ITEMS
from state_manager.dynamic import is_dynamic
from state_manager.errors import ExpressionError, Fault, as_path
from state_manager.expressions.syntax import parse
from state_manager.expressions.text import codes, find, is_one
from state_manager.graph import Suggestions, ancestors

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Mapping, Sequence

    from state_manager.cluster import Satellite

NO_ITEM = "item and index are there in a fan-out alone"
DECIDED_ONCE = "the `if` of a group is decided once, before there are items: use item in the satellites of the group"
SHOWN = "a secret cannot become an item: items are stored, and shown"


def expression_faults(satellites: Sequence[Satellite], secret_names: Callable[[], Collection[str]]) -> Iterator[Fault]:
    """Name every fault of the expressions of satellites; `secret_names` is called once a secret is referred to."""
    yield from _Scope(satellites).faults(_Secrets(secret_names))


@dataclass(slots=True)
class _Secrets:
    """The secrets that there are."""

    look_up: Callable[[], Collection[str]]
    _names: Suggestions | None = None

    def fault(self, name: str) -> str | None:
        """Return what is wrong with a reference to the secret of this name."""
        if self._names is None:
            self._names = Suggestions(self.look_up())
        return None if name in self._names.known else f"there is no secret {name!r}{self._names(name)}"


@dataclass(slots=True)
class _Scope:
    """A list of satellites, whose names their expressions know, and around it the list that their group is in."""

    satellites: Sequence[Satellite]
    above: str = ""
    outer: _Scope | None = None
    group: int = -1
    """The place of the group in the outer list."""
    in_fan_out: bool = False
    index: Mapping[str, int] = field(init=False)
    _ancestors: list[int] | None = None
    _suggested: Suggestions | None = None

    def __post_init__(self) -> None:
        self.index = {satellite.name: at for at, satellite in enumerate(self.satellites)}

    def faults(self, secrets: _Secrets) -> Iterator[Fault]:
        """Name the faults of this list, and of the groups in it."""
        for at, satellite in enumerate(self.satellites):
            place = f"{self.above}satellites[{at}]"
            if not is_dynamic(satellite):
                continue
            for text in _texts(satellite, self.in_fan_out):
                for message in self._faults_of(text, at, secrets):
                    yield Fault(f"{place}.{text.path}", message)
            if isinstance(satellite.for_each, list) and len(satellite.for_each) > MAX_ITEMS:
                yield Fault(f"{place}.for_each", f"{len(satellite.for_each)} items; at most {MAX_ITEMS} are allowed")
            if satellite.satellites:
                in_fan_out = self.in_fan_out or satellite.for_each is not None
                yield from _Scope(satellite.satellites, f"{place}.", self, at, in_fan_out).faults(secrets)

    def _faults_of(self, text: _Text, at: int, secrets: _Secrets) -> Iterator[str]:
        try:
            names = [parse(code).names for code in codes(text.text)]
            if text.whole and not is_one(text.text):
                yield "must be one expression, ${{ … }}, and nothing else"
        except ExpressionError as error:
            yield str(error)
            return
        for one in names:
            yield from one.faults
            yield from filter(None, (self._reference_fault(at, name) for name in one.satellites))
            yield from filter(None, (text.no_secret or secrets.fault(name) for name in one.secrets))
            if one.item and text.no_item:
                yield text.no_item

    def _reference_fault(self, at: int, name: str) -> str | None:
        """Return what is wrong with a reference to the satellite of this name; an inner name hides an outer one."""
        for scope, here in self._around(at):
            if name in scope.index:
                return scope.ancestor_fault(here, name)
        if self._suggested is None:
            self._suggested = Suggestions({one: None for scope, _ in self._around(at) for one in scope.index})
        return f"there is no satellite {name!r}{self._suggested(name)}"

    def _around(self, at: int) -> Iterator[tuple[_Scope, int]]:
        """List this scope and those around it, each with the place of the satellite or of its group in it."""
        scope: _Scope | None = self
        while scope is not None:
            yield scope, at
            at, scope = scope.group, scope.outer

    def ancestor_fault(self, at: int, name: str) -> str | None:
        """Return why the output of this scope's satellite of this name is not there when another one runs."""
        satellite = self.satellites[at]
        if name in satellite.dependencies:
            return None
        if name == satellite.name:
            return f"{name!r} is the satellite itself, or a group that it is in"
        if self._ancestors is None:
            self._ancestors = ancestors(self.satellites)
        if self._ancestors[at] >> self.index[name] & 1:
            return None
        return f"{name!r} is no ancestor of {satellite.name!r}, whose dependencies do not lead to it"


@dataclass(frozen=True, slots=True)
class _Text:
    """A text that may hold expressions, and what they cannot refer to."""

    path: str
    text: str
    whole: bool = False
    """Whether it must be one expression, and nothing else."""
    no_item: str | None = None
    """Why there is no item, where there is none."""
    no_secret: str | None = None
    """Why secrets are refused, where they are."""


def _texts(satellite: Satellite, in_fan_out: bool) -> Iterator[_Text]:
    outside = None if in_fan_out else NO_ITEM
    inside = outside if satellite.for_each is None else None
    for name, value in (("config", satellite.config), ("input", satellite.input)):
        for path, text in find(value, (name,)):
            yield _Text(as_path(path), text, no_item=inside)
    if satellite.condition is not None:
        once = satellite.is_group and satellite.for_each is not None
        yield _Text("if", satellite.condition, whole=True, no_item=DECIDED_ONCE if once else inside)
    if isinstance(satellite.for_each, str):
        yield _Text("for_each", satellite.for_each, whole=True, no_item=outside, no_secret=SHOWN)
    for path, text in find(satellite.for_each, ("for_each",)) if isinstance(satellite.for_each, list) else ():
        yield _Text(as_path(path), text, no_item=outside, no_secret=SHOWN)
