"""Redaction: secrets that an attempt has read are replaced in whatever leaves its process.

A secret is found as it is, and as it looks in base64, in URLs, in JSON, in Python's `repr` and in hexadecimal digits.
It is not found once it is compressed, hashed, cut into pieces or otherwise computed with.
"""

from __future__ import annotations

import base64
import json
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, quote_plus

from state_manager.secrets.submitted import HIDDEN

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Self

SHORTEST = 4
"""Shortest text that is redacted, in characters: a shorter one is in every other word, and hides nothing."""

_active: tuple[Redactor, ...] = ()
"""The redactors of this process that know a secret; no attempt without secrets ever looks further."""


class Redactor:
    """Replaces the secrets that one attempt has read."""

    def __init__(self) -> None:
        self._spellings: tuple[str, ...] = ()
        self._in_json: tuple[bytes, ...] = ()

    def __bool__(self) -> bool:
        """Tell whether there is anything to replace."""
        return bool(self._spellings)

    @property
    def longest(self) -> int:
        """The length of the longest text that is replaced."""
        return len(self._spellings[0]) if self._spellings else 0

    def add(self, secret: str) -> None:
        """Replace this secret from now on, whatever thread of this process writes it."""
        global _active  # noqa: PLW0603  (replaced as a whole: whoever reads it needs no lock)
        found = {*self._spellings, *spellings(secret)}
        # The longest first: one secret may be a part of another.
        self._spellings = tuple(sorted(found, key=lambda one: (-len(one), one)))
        self._in_json = tuple(_as_json(one).encode() for one in self._spellings)
        if self._spellings and self not in _active:
            _active = (*_active, self)

    def __enter__(self) -> Self:
        """Redact in this block what this process logs and prints, once this redactor was told a secret."""
        return self

    def __exit__(self, *_: object) -> None:
        """Stop that."""
        global _active  # noqa: PLW0603
        if self._spellings:
            _active = tuple(one for one in _active if one is not self)

    def in_text(self, text: str) -> str:
        """Return the text without secrets."""
        for one in self._spellings:
            text = text.replace(one, HIDDEN)
        return text

    def in_value(self, value: Any, encoded: bytes) -> Any:
        """Return a JSON value without secrets, in its keys and numbers too; the same object where it has none.

        `encoded` is the value as JSON that is not limited to ASCII: most outputs are looked through, and not taken
        apart.
        """
        return self._in_value(value) if self.is_in(encoded) else value

    def is_in(self, encoded: bytes) -> bool:
        """Tell whether a JSON text that is not limited to ASCII holds a secret."""
        return any(one in encoded for one in self._in_json)

    def _in_value(self, value: Any) -> Any:
        # Without comprehensions, which would double the depth of the stack: outputs nest nearly as deep as it goes.
        if isinstance(value, dict):
            members: dict[str, Any] = {}
            for key, one in value.items():
                members[self.in_text(_as_key(key))] = self._in_value(one)
            return members
        if isinstance(value, list | tuple):
            items: list[Any] = []
            for one in value:
                items.append(self._in_value(one))  # noqa: PERF401
            return items
        if isinstance(value, str):
            return self.in_text(value)
        written = json.dumps(value)
        return HIDDEN if self.in_text(written) != written else value


def is_active() -> bool:
    """Tell whether any attempt of this process has read a secret."""
    return bool(_active)


def redact(text: str) -> str:
    """Return the text without the secrets of all attempts of this process: a thread that logs may be of any of them."""
    for redactor in _active:
        text = redactor.in_text(text)
    return text


def longest() -> int:
    """Return the length of the longest text that is replaced now."""
    return max((redactor.longest for redactor in _active), default=0)


def spellings(secret: str) -> set[str]:
    """List the texts that a secret is recognised by.

    One of several lines, such as a key file, also by each of its lines: it may be printed line by line.
    """
    whole = {secret, secret.strip()}
    found = {spelling for one in whole for spelling in _spellings(one)}
    found.update(line.strip() for line in secret.splitlines())
    return {one for one in found if len(one) >= SHORTEST} if len(secret.strip()) >= SHORTEST else set()


def _spellings(text: str) -> Iterator[str]:
    data = text.encode()
    yield text
    for escaped in _escaped(text):
        yield escaped
        yield from _escaped(escaped)  # JSON in JSON, or a `repr` of a `repr`
    yield repr(data)[2:-1]
    yield from (quote(text), quote(text, safe=""), quote_plus(text))
    yield from (data.hex(), data.hex().upper())
    for shift in range(3):
        yield from _in_base64(data, shift)


def _escaped(text: str) -> Iterator[str]:
    yield from (_as_json(text), json.dumps(text)[1:-1], repr(text)[1:-1])
    yield repr(text + "'\"")[1 : -len("\\'\"'")]  # as part of a text with both kinds of quotes


def _in_base64(data: bytes, shift: int) -> Iterator[str]:
    """Encode data that stands in longer data, behind so many bytes beyond a multiple of three.

    The characters that also depend on the neighbours are left out: those of RFC 4648 hold six bits each.
    """
    first, end = -(-8 * shift // 6), 8 * (shift + len(data)) // 6
    for encode in (base64.b64encode, base64.urlsafe_b64encode):
        yield encode(bytes(shift) + data)[first:end].decode()


def _as_json(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)[1:-1]


def _as_key(key: Any) -> str:
    """Write a key as `json` does, which also takes numbers."""
    return key if isinstance(key, str) else json.dumps(key)
