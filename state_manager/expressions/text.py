"""Where expressions stand in a document: `${{ … }}` within its strings; `$${{` is a literal `${{`."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from state_manager.errors import ExpressionError

if TYPE_CHECKING:
    from collections.abc import Iterator

OPENING = "${{"
LONGEST = 1_000
"""Most characters of an expression, without the braces and the space around it."""

SHOWN = 40
"""Characters that are shown of what is too long, or does not end."""

_OPENING = re.compile(r"\$?\$\{\{")
_QUOTED_OR_BRACE = re.compile(
    r"""'(?:[^'\\]|\\.)*+' | "(?:[^"\\]|\\.)*+" | `(?:[^`\\]|\\.)*+` | [{}'"`]""", re.DOTALL | re.VERBOSE
)


@dataclass(frozen=True, slots=True)
class Code:
    """The JMESPath of one expression, without its braces."""

    text: str


def split(text: str) -> list[str | Code]:
    """Split a string into what is literal and what is code; raises ExpressionError.

    White space around a single expression is dropped: YAML's block scalars end in a line feed.
    """
    parts: list[str | Code] = []
    at = 0
    while opening := _OPENING.search(text, at):
        parts.append(text[at : opening.start()])
        at = opening.end()
        if opening[0] != OPENING:
            parts.append(OPENING)
            continue
        end = _end(text, at)
        parts.append(_code(text[at:end]))
        at = end + 2
    parts.append(text[at:])
    codes = [part for part in parts if isinstance(part, Code)]
    if len(codes) == 1 and not any(part.strip() for part in parts if isinstance(part, str)):
        return [*codes]
    return [part for part in parts if part]


def mentions(value: Any) -> bool:
    """Tell whether a JSON value may hold an expression, or its escape, in any of its strings; keys are plain text."""
    left = [value]
    while left:
        one = left.pop()
        if isinstance(one, str):
            if OPENING in one:
                return True
        elif isinstance(one, dict):
            left.extend(one.values())
        elif isinstance(one, list):
            left.extend(one)
    return False


def find(value: Any, path: tuple[str | int, ...] = ()) -> Iterator[tuple[tuple[str | int, ...], str]]:
    """List the strings in a JSON value that may hold expressions, each with its path."""
    if isinstance(value, str):
        if OPENING in value:
            yield path, value
    elif isinstance(value, dict | list):
        for key, below in value.items() if isinstance(value, dict) else enumerate(value):
            if isinstance(below, str | dict | list):
                yield from find(below, (*path, key))


def codes(text: str) -> list[str]:
    """List the code of the expressions in a text; raises ExpressionError."""
    return [part.text for part in split(text) if isinstance(part, Code)]


def is_one(text: str) -> bool:
    """Tell whether a text is one expression and nothing else, so that its value keeps its type."""
    match split(text):
        case [Code()]:
            return True
    return False


def _end(text: str, start: int) -> int:
    """Return where the `}}` is that ends the code: not one in quotes, nor the braces of an object."""
    depth = 0
    for found in _QUOTED_OR_BRACE.finditer(text, start):
        match found[0]:
            case "{":
                depth += 1
            case "}" if depth:
                depth -= 1
            case "}" if text.startswith("}}", found.start()):
                return found.start()
            case "'" | '"' | "`" as quote:
                column = found.start() - start
                raise ExpressionError(_beginning(text, start), f"the {quote} at column {column} is not closed")
    raise ExpressionError(_beginning(text, start), "is not closed by }}")


def _code(text: str) -> Code:
    code = text.strip()
    if len(code) > LONGEST:
        raise ExpressionError(_beginning(code, 0), f"has {len(code)} characters; at most {LONGEST} are allowed")
    return Code(code)


def _beginning(text: str, start: int) -> str:
    more = " …" if len(text) > start + SHOWN else ""
    return text[start : start + SHOWN].strip() + more
