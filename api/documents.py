"""Parsing of a request's body, JSON or YAML, into a cluster document."""

from __future__ import annotations

import json
import math
import re
from collections import Counter
from typing import TYPE_CHECKING, Any

from werkzeug.exceptions import BadRequest, UnsupportedMediaType

from api import yaml_values
from state_manager.errors import Fault, InvalidDocument, as_path

if TYPE_CHECKING:
    from collections.abc import Iterator

JSON = "application/json"
YAML = ("application/yaml", "application/x-yaml", "text/yaml")

FAULTS_NAMED = 100
"""Most faults to report for values that cannot be stored; a body could hold millions."""

_NOT_KEPT = re.compile("[\0\ud800-\udfff]")


def parse(body: bytes, media_type: str, budget: int) -> dict[str, Any]:
    """Parse a cluster document. Raises as `parse_object`."""
    return _unwrapped(parse_object(body, media_type, budget, what="a cluster"))


def parse_object(body: bytes, media_type: str, budget: int, *, what: str) -> dict[str, Any]:
    """Parse a document; `budget` is the size that the aliases of YAML may expand to, `what` is for messages.

    Raises BadRequest (malformed), UnsupportedMediaType, InvalidDocument (no object, or values nobody could keep).
    """
    if media_type != JSON and media_type not in YAML:
        raise UnsupportedMediaType(f"send {JSON} or {YAML[0]}, not {media_type or 'a body without Content-Type'}")
    try:
        text = body.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise BadRequest(f"the body is not UTF-8: byte {error.start}") from error
    document = _json(text) if media_type == JSON else _yaml(text, budget)
    if not isinstance(document, dict):
        raise InvalidDocument([Fault("", f"{what} is an object")])
    if faults := list(_unkeepable(document)):
        raise InvalidDocument(faults)
    return document


def _json(text: str) -> Any:
    try:
        return json.loads(text, object_pairs_hook=_object, parse_constant=_refuse_constant)
    except json.JSONDecodeError as error:
        where = f"line {error.lineno}, column {error.colno}"
        raise BadRequest(f"malformed JSON: {where}: {error.msg}") from error
    except RecursionError as error:
        raise BadRequest(_too_deep()) from error
    except ValueError as error:
        raise BadRequest(f"malformed JSON: {error}") from error


def _yaml(text: str, budget: int) -> Any:
    try:
        return yaml_values.load(text, budget)
    except yaml_values.Unreadable as error:
        raise BadRequest(f"malformed YAML: {error}") from error


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) < len(pairs):
        ((twice, _),) = Counter(key for key, _ in pairs).most_common(1)
        raise ValueError(f"duplicate key {_printable(twice[:100])!r}")
    return made


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is no number in JSON")


def _too_deep() -> str:
    return f"nested more than {yaml_values.MAX_DEPTH} deep"


def _unwrapped(document: dict[str, Any]) -> dict[str, Any]:
    """Return the cluster, which may be inside a top-level `cluster:`."""
    if "cluster" not in document:
        return document
    faults = [Fault(name, "unknown field beside 'cluster'") for name in document if name != "cluster"]
    cluster = document["cluster"]
    if not isinstance(cluster, dict):
        faults.append(Fault("cluster", "a cluster is an object"))
    if faults or not isinstance(cluster, dict):
        raise InvalidDocument(faults)
    return cluster


def _unkeepable(document: dict[str, Any]) -> Iterator[Fault]:
    """Report texts that PostgreSQL cannot store and numbers that JSON cannot; refuse nesting that is too deep."""
    path: list[str | int] = []
    open_: list[Iterator[tuple[str | int, Any]]] = [iter(document.items())]
    found = 0
    while open_ and found < FAULTS_NAMED:
        for key, value in open_[-1]:
            problem = _problem(key, value)
            if problem:
                found += 1
                yield Fault(_printable(as_path([*path, key])), problem)
            elif isinstance(value, dict | list):
                if len(open_) >= yaml_values.MAX_DEPTH:
                    raise BadRequest(_too_deep())
                path.append(key)
                open_.append(iter(value.items()) if isinstance(value, dict) else enumerate(value))
                break
        else:
            open_.pop()
            if path:
                path.pop()


def _problem(key: str | int, value: object) -> str | None:
    if isinstance(key, str) and not _kept(key):
        return "a key with a NUL character or half a surrogate pair cannot be kept"
    if isinstance(value, str) and not _kept(value):
        return "text with a NUL character or half a surrogate pair cannot be kept"
    if isinstance(value, float) and not math.isfinite(value):
        return "a number too large for JSON"
    return None


def _kept(text: str) -> bool:
    return "\0" not in text and (text.isascii() or not _NOT_KEPT.search(text))


def _printable(text: str) -> str:
    return text.encode("utf-8", "backslashreplace").decode()
