"""The cluster file of `run.py CLUSTER`: its syntax is checked before anything is started, the rest by the API."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import yaml

from local.errors import CannotStart

if TYPE_CHECKING:
    from state_manager.config import Settings

MAX_DEPTH = 100
"""Levels of nesting that the API accepts; the parser's time grows with their square."""


def read_cluster(path: Path) -> bytes:
    """Read a file that holds an object in JSON or YAML; the API checks what is in it. Raises `CannotStart`."""
    try:
        content = path.read_bytes()
    except OSError as error:
        raise CannotStart(f"{path} cannot be read: {error.strerror}") from None
    if problem := syntax_problem(content):
        raise CannotStart(f"{path} is not a cluster: {problem}")
    return content


def syntax_problem(content: bytes) -> str | None:
    """Return why a document is not an object in JSON or YAML; None if it is."""
    try:
        text = content.decode()
    except UnicodeDecodeError as error:
        return f"not UTF-8: {error.reason} at byte {error.start}"
    if text.lstrip().startswith("{"):
        json_problem = _json_problem(text)
        # What begins with a brace may also be a YAML mapping in flow style.
        return json_problem if json_problem and _yaml_problem(text) else None
    return _yaml_problem(text)


def _json_problem(text: str) -> str | None:
    try:
        json.loads(text)
    except json.JSONDecodeError as error:
        return f"line {error.lineno}, column {error.colno}: {error.msg}"
    except RecursionError:
        return f"nested more than {MAX_DEPTH} deep"
    return None


def _yaml_problem(text: str) -> str | None:
    """Check by the parser's events alone: values are not built, so that no alias is expanded."""
    root: yaml.Event | None = None
    depth = 0
    try:
        for event in yaml.parse(text, Loader=yaml.CSafeLoader):
            root = event if root is None and isinstance(event, yaml.NodeEvent) else root
            depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
            if depth > MAX_DEPTH:
                return f"nested more than {MAX_DEPTH} deep"
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f"line {mark.line + 1}, column {mark.column + 1}: " if mark else ""
        return where + (getattr(error, "problem", None) or getattr(error, "reason", None) or "not YAML")
    if root is None:
        return "it is empty"
    return None if isinstance(root, yaml.MappingStartEvent) else "it is not an object"


def with_satellites_beside(settings: Settings, cluster: Path) -> Settings:
    """Add `examples/word_count.py` to the modules for `examples/word_count.yaml`, if importable from here."""
    module = cluster.absolute().with_suffix(".py")
    if not module.exists() or not module.is_relative_to(Path.cwd()):
        return settings
    name = ".".join(module.relative_to(Path.cwd()).with_suffix("").parts)
    return replace(settings, satellite_modules=tuple(dict.fromkeys((*settings.satellite_modules, name))))
