"""YAML, as far as JSON goes: text, numbers, true and false, null, lists, and mappings with text as keys.

Built from the parser's events, without recursion: no depth overflows the stack. An alias costs the size of
what it stands for, so that a bomb of aliases is refused while it is read, before anything expands it.
Plain scalars are read as YAML 1.2 reads them (its core schema): `no`, `12:30` and `2024-01-01` are text.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import yaml

if TYPE_CHECKING:
    from yaml._yaml import Mark as FastMark
    from yaml.error import Mark as PythonMark

    Mark = PythonMark | FastMark | None

MAX_DEPTH = 100
"""Levels of nesting that a document may have, in JSON too; PostgreSQL and `json` both give up much later."""

_PLAIN: dict[str, Any] = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL")),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
}
_NOT_TEXT_FIRST = frozenset("0123456789+-.~nNtTfF")
_INTEGER = re.compile(r"[-+]?[0-9]+\Z")
_BASED = re.compile(r"0o[0-7]{1,3000}\Z|0x[0-9a-fA-F]{1,3000}\Z")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?\Z")
_NOT_FINITE = re.compile(r"[-+]?\.(inf|Inf|INF)\Z|\.(nan|NaN|NAN)\Z")
_STANDARD = "tag:yaml.org,2002:"


class Unreadable(ValueError):
    """The text is no YAML, or no YAML that JSON could say; the message begins with line and column."""

    def __init__(self, mark: Mark, problem: str) -> None:
        where = "" if mark is None else f"line {mark.line + 1}, column {mark.column + 1}: "
        super().__init__(f"{where}{problem}")


def load(text: str, budget: int) -> Any:
    """Read one document, whose expanded size may not pass the budget in characters. Raises Unreadable."""
    builder = _Builder(budget)
    try:
        for event in yaml.parse(text, Loader=yaml.CSafeLoader):
            builder.take(event)
    except yaml.YAMLError as error:
        problem = getattr(error, "problem", None) or getattr(error, "reason", None) or "not YAML"
        raise Unreadable(getattr(error, "problem_mark", None), problem) from error
    return builder.root[0] if builder.root else None


@dataclass(slots=True)
class _Open:
    """A list or a mapping that has begun and not ended."""

    value: list[Any] | dict[str, Any]
    anchor: str | None
    size: int = 1
    key: str | None = None


class _Builder:
    def __init__(self, budget: int) -> None:
        self.root: list[Any] = []
        self._open = [_Open(self.root, None)]
        self._anchored: dict[str, tuple[Any, int]] = {}
        self._budget = budget

    def take(self, event: yaml.Event) -> None:
        """Go on with the next event of the parser."""
        match event:
            case yaml.ScalarEvent():
                self._add(_scalar(event), len(event.value) + 1, event.start_mark, event.anchor)
            case yaml.SequenceStartEvent() | yaml.MappingStartEvent():
                self._begin(event)
            case yaml.SequenceEndEvent() | yaml.MappingEndEvent():
                done = self._open.pop()
                self._add(done.value, done.size, event.start_mark, done.anchor)
            case yaml.AliasEvent():
                if event.anchor not in self._anchored:
                    raise Unreadable(event.start_mark, f"alias of {event.anchor!r}, which is not defined by then")
                self._add(*self._anchored[event.anchor], event.start_mark, None)
            case yaml.DocumentStartEvent() if self.root:
                raise Unreadable(event.start_mark, "a second document")

    def _begin(self, event: yaml.SequenceStartEvent | yaml.MappingStartEvent) -> None:
        if len(self._open) > MAX_DEPTH:
            raise Unreadable(event.start_mark, f"nested more than {MAX_DEPTH} deep")
        is_mapping = isinstance(event, yaml.MappingStartEvent)
        if event.tag not in {None, "!", _STANDARD + ("map" if is_mapping else "seq")}:
            raise Unreadable(event.start_mark, f"the tag {event.tag} is not supported")
        self._open.append(_Open({} if is_mapping else [], event.anchor))

    def _add(self, value: object, size: int, mark: Mark, anchor: str | None) -> None:
        """Put a value, or a key, where it belongs: into what was opened last."""
        if anchor is not None:
            self._anchored[anchor] = value, size
        into = self._open[-1]
        into.size += size
        if into.size > self._budget:
            raise Unreadable(mark, f"more than {self._budget} characters, once its aliases are expanded")
        if isinstance(into.value, list):
            into.value.append(value)
        elif into.key is None:
            into.key = _key(value, into.value, mark)
        else:
            into.value[into.key] = value
            into.key = None


def _key(value: object, mapping: dict[str, Any], mark: Mark) -> str:
    if not isinstance(value, str):
        raise Unreadable(mark, f"a key that is not text: {str(value)[:100]}; put it in quotes")
    if value == "<<":
        raise Unreadable(mark, "merge keys (<<) are not supported")
    if value in mapping:
        raise Unreadable(mark, f"duplicate key {value[:100]!r}")
    return value


def _scalar(event: yaml.ScalarEvent) -> Any:
    text: str = event.value
    if event.tag is not None:
        if event.tag not in {"!", _STANDARD + "str"}:
            raise Unreadable(event.start_mark, f"the tag {event.tag} is not supported")
        return text
    if not event.implicit[0] or (text and text[0] not in _NOT_TEXT_FIRST):
        return text
    if text in _PLAIN:
        return _PLAIN[text]
    if _NOT_FINITE.match(text):
        raise Unreadable(event.start_mark, f"{text} is no number in JSON")
    try:
        return _number(text)
    except ValueError as error:
        raise Unreadable(event.start_mark, str(error)) from error


def _number(text: str) -> int | float | str:
    if _INTEGER.match(text):
        return int(text)
    if _BASED.match(text):
        return int(text, 0)
    return float(text) if _FLOAT.match(text) else text
