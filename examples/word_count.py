"""The satellites of `word_count.yaml`: read a text, count its words, add the counts up."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path
from typing import Any

from exospherehost import ConfigurationError, Context, satellite

WORD = re.compile(r"[^\W\d_]+")


@satellite(
    "satellite/examples/read-text",
    config_schema={"type": "object", "properties": {"path": {"type": "string"}}, "required": ["path"]},
)
def read_text(context: Context) -> dict[str, str]:
    """Read a text file."""
    path = Path(context.config["path"])
    try:
        return {"text": path.read_text(encoding="utf-8")}
    except FileNotFoundError as error:
        raise ConfigurationError(f"there is no file {path}") from error


@satellite("satellite/examples/count-words")
def count_words(context: Context) -> dict[str, Any]:
    """Count the words of the texts that it depends on."""
    counts: Counter[str] = Counter()
    for name, text in context.input.items():
        words = WORD.findall(text["text"].lower())
        context.log.info("%d words in %s", len(words), name)
        counts.update(words)
    return {"counts": dict(counts)}


@satellite("satellite/examples/add-up")
def add_up(context: Context) -> dict[str, Any]:
    """Add up the counts that it depends on, or is configured with; return the words that come most often."""
    total: Counter[str] = Counter()
    for part in context.config.get("parts") or context.input.values():
        total.update(part["counts"])
    most = total.most_common(context.config.get("most", 10))
    return {"words": total.total(), "different": len(total), "most": dict(most)}
