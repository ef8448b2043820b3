"""The satellites of `count_folder.yaml`: those of `word_count.yaml`, and one that finds the texts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import examples.word_count  # noqa: F401  (its satellites are used too)
from exospherehost import ConfigurationError, Context, satellite


@satellite("satellite/examples/find-texts")
def find_texts(context: Context) -> dict[str, Any]:
    """List the Markdown files of a folder."""
    folder = Path(context.config["folder"])
    if not folder.is_dir():
        raise ConfigurationError(f"there is no folder {folder}")
    return {"paths": sorted(str(path) for path in folder.rglob("*.md"))}
