"""The YAML file of the configuration, as text by dotted path."""

from __future__ import annotations

from typing import TYPE_CHECKING

import yaml

from state_manager.setting import as_text

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

CONFIG_FILE = "CONFIG_FILE"
"""The environment variable with the path of the file."""


def read_config_file(directory: Path, name: str | None) -> dict[str, str]:
    """Read a file, or without a name `config.yaml` if there is one; raise `ValueError` if it cannot be read."""
    path = directory / (name or "config.yaml")
    if name is None and not path.exists():
        return {}
    try:
        document = yaml.safe_load(path.read_text())
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise ValueError(f"{CONFIG_FILE}: {path} cannot be read: {error}") from error
    if document is not None and not isinstance(document, dict):
        raise ValueError(f"{CONFIG_FILE}: {path} is not a mapping")
    return dict(_leaves(document))


def _leaves(value: object, path: str = "") -> Iterator[tuple[str, str]]:
    """Flatten nested mappings to (dotted path, text)."""
    if isinstance(value, dict):
        for key, below in value.items():
            yield from _leaves(below, f"{path}.{key}" if path else str(key))
    elif value is not None:
        yield path, as_text(value)
