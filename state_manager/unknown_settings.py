"""Detection of names in the configuration that are not settings, but were meant to be."""

from __future__ import annotations

import re
from difflib import get_close_matches
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator
    from pathlib import Path

CONVENTIONAL_NAMES = {
    "DATABASE_URL": "DATABASE_URI",
    "REDIS_URL": "REDIS_URI",
    "LOGLEVEL": "LOG_LEVEL",
    "SECRET_KEY": "SECRETS_KEY",
}
"""Variables that other programs use, and hosting platforms set, for what these settings mean here."""

MISSPELLING_SIMILARITY = 0.9
"""Similarity from which a variable of the environment counts as a misspelled setting, by `difflib`'s ratio.

A letter missing or doubled in a name of nine letters, two swapped in one of ten. No other name is as near to a short
one (`HOST`, `PORT`): the environment is full of variables of other programs, and those must not stop the start.
"""

COMPOSE_PREFIXES = ("COMPOSE_", "DOCKER_")
"""Beginnings of the variables that docker compose itself reads from `.env`."""

_COMPOSE_VARIABLE = re.compile(r"\$\{?([A-Za-z_][A-Za-z0-9_]*)")


def unknown_variables(
    environ: Collection[str], dotenv: Collection[str], known: Collection[str], directory: Path
) -> Iterator[str]:
    """Report variables that are not settings, but were meant to be.

    In `.env` that is every unknown name, except those that are there for docker compose, which reads the same file.
    In the environment it is a name that begins with `EXOSPHERE_`, or is nearly that of a setting.
    """
    ours = {*dotenv, *(name for name in environ if name.startswith("EXOSPHERE_"))}.difference(known)
    if ours:
        ours -= {name for name in ours if name.startswith(COMPOSE_PREFIXES)} | set(compose_variables(directory))
    of_others = set(environ).difference(known, CONVENTIONAL_NAMES)
    yield from unknown_names(ours | {name for name in of_others if is_misspelled(name, known)}, known)


def is_misspelled(name: str, known: Iterable[str]) -> bool:
    """Tell whether a variable is nearly one of the known ones; one of several words, also in another case."""
    written = name.upper() if "_" in name else name
    return bool(get_close_matches(written, known, n=1, cutoff=MISSPELLING_SIMILARITY))


def compose_variables(directory: Path) -> Iterator[str]:
    """List the variables that the compose files of a directory use."""
    for path in directory.glob("*compose*.y*ml"):
        yield from _COMPOSE_VARIABLE.findall(path.read_text(encoding="utf-8", errors="replace"))


def unknown_names(found: Iterable[str], known: Collection[str]) -> Iterator[str]:
    """Report names that are not known, each with the nearest known one."""
    for name in sorted(set(found).difference(known)):
        near = get_close_matches(name, known, n=1) or get_close_matches(name.upper(), known, n=1)
        yield f"{name}: unknown setting" + (f"; did you mean {near[0]}?" if near else "")


def unread_conventional_names(environ: Collection[str], given: Collection[str]) -> Iterator[str]:
    """Report variables that would have been settings elsewhere, where the setting of ours is not given."""
    for name, ours in CONVENTIONAL_NAMES.items():
        if name in environ and ours not in given:
            yield f"{name} is set, but not read: the setting is called {ours}, and is not set"
