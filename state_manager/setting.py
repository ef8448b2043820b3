"""The declaration of a setting, and the parsers of its text."""

from __future__ import annotations

import math
import os
import re
from dataclasses import dataclass, field
from ipaddress import IPv4Network, IPv6Network, ip_network
from pathlib import Path
from typing import TYPE_CHECKING, Generic, TypeVar, cast

from state_manager.secrets.keys import MasterKeys, write_keys

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Setting(Generic[T]):
    """A setting: its names, its default, its parser and its meaning."""

    env: str
    path: str
    """Its place in `config.yaml`."""
    default: str | None
    parse: Callable[[str], T]
    """From text to value; raises `ValueError` with what is wrong."""
    meaning: str


def setting(env: str, path: str, default: str | None, parse: Callable[[str], T], meaning: str) -> T:
    """Declare a field of `Settings`; its default is parsed like any other text."""
    declared = Setting(env, f"state_manager.{path}", default, parse, meaning)
    value = None if default is None else parse(default)
    return cast("T", field(default=value, metadata={"setting": declared}))


def whole(low: int, high: int = 2**31 - 1) -> Callable[[str], int]:
    """Parse a whole number from `low` to `high`."""

    def parse(text: str) -> int:
        try:
            value = int(text)
        except ValueError:
            raise ValueError(f"{text!r} is not a whole number") from None
        if not low <= value <= high:
            raise ValueError(f"{text} is not between {low} and {high}")
        return value

    return parse


def children(text: str) -> int:
    """Parse a number of processes; `cores` is one a core."""
    return os.cpu_count() or 1 if text == "cores" else whole(1, 1024)(text)


def seconds(low: float) -> Callable[[str], float]:
    """Parse a finite number of seconds, at least `low`."""

    def parse(text: str) -> float:
        try:
            value = float(text)
        except ValueError:
            raise ValueError(f"{text!r} is not a number of seconds") from None
        if not low <= value < math.inf:
            raise ValueError(f"{text} is not a number of seconds of at least {low:g}")
        return value

    return parse


def one_of(*choices: str) -> Callable[[str], str]:
    """Parse one of the words given, in any case."""

    def parse(text: str) -> str:
        if text.lower() not in choices:
            raise ValueError(f"{text!r} is none of {', '.join(choices)}")
        return text.lower()

    return parse


def uri(*schemes: str, aliases: tuple[str, ...] = ()) -> Callable[[str], str | None]:
    """Parse a URI of one of these schemes; one of the aliases comes out as the first scheme."""

    def parse(text: str) -> str | None:
        scheme, separator, rest = text.partition("://")
        if not separator or scheme not in (*schemes, *aliases):
            allowed = ", ".join(f"{name}://" for name in (*schemes, *aliases))
            raise ValueError(f"{redacted(text)!r} does not start with one of {allowed}")
        return f"{schemes[0] if scheme in aliases else scheme}://{rest}"

    return parse


def boolean(text: str) -> bool:
    """Parse true or false, yes or no, on or off, 1 or 0."""
    words = {"true": True, "yes": True, "on": True, "1": True, "false": False, "no": False, "off": False, "0": False}
    if text.lower() not in words:
        raise ValueError(f"{text!r} is neither true nor false")
    return words[text.lower()]


def names(text: str) -> tuple[str, ...]:
    """Parse names separated by commas."""
    return tuple(name.strip() for name in text.split(",") if name.strip())


def modules(text: str) -> tuple[str, ...]:
    """Parse the dotted names of modules, separated by commas."""
    for name in names(text):
        if not all(part.isidentifier() for part in name.split(".")):
            raise ValueError(f"{name!r} is not the name of a module")
    return names(text)


def folder(text: str) -> Path:
    """Parse a path."""
    return Path(text).expanduser()


def folders(text: str) -> tuple[Path, ...] | None:
    """Parse absolute paths separated by commas."""
    paths = tuple(folder(name) for name in names(text))
    for path in paths:
        if not path.is_absolute():
            raise ValueError(f"{str(path)!r} is not an absolute path")
    return paths


def networks(text: str) -> tuple[IPv4Network | IPv6Network, ...]:
    """Parse networks separated by commas, like 10.0.0.0/8 or fd00::/8; an address is a network of one."""
    try:
        return tuple(ip_network(name) for name in names(text))
    except ValueError as error:
        raise ValueError(f"{error}; networks are written like 10.0.0.0/8 or fd00::/8") from None


def programs(text: str) -> tuple[str, ...]:
    """Parse programs separated by commas: names that are looked for in PATH, or absolute paths."""
    for name in names(text):
        if "/" in name and not name.startswith("/"):
            raise ValueError(f"{name!r} is neither the name of a program nor an absolute path")
    return names(text)


def redacted(text: str) -> str:
    """Hide the passwords in a URI, for messages."""
    hidden = re.sub(r"(?<=://)([^:/?#]*):.*@", r"\1:***@", text)
    return re.sub(r"(?i)(?<=password=)[^&\s]*", "***", hidden)


def as_text(value: object) -> str:
    """Write a value as it stands in the environment; the inverse of its parser."""
    if value is None:
        return ""
    if isinstance(value, MasterKeys):
        return write_keys(value)
    if isinstance(value, (list, tuple)):
        return ",".join(map(str, value))
    return str(value).lower() if isinstance(value, bool) else str(value)
