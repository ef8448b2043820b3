"""The checks of settings against each other, where each by itself is sound."""

from __future__ import annotations

from typing import TYPE_CHECKING

from state_manager.secrets.configured import read_keys

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from state_manager.config import Settings
    from state_manager.secrets.keys import MasterKeys


def contradictions(settings: Settings) -> Iterator[str]:
    """Name the settings that do not go together."""
    if settings.environment == "production":
        needed = {"DATABASE_URI": settings.database_uri, "REDIS_URI": settings.redis_uri}
        yield from (f"{name}: must be set when ENVIRONMENT is production" for name, uri in needed.items() if not uri)
    if settings.secrets_key_file is not None:
        yield from _faults_of_key_file(settings.secrets_key_file, settings.secrets_key)


def _faults_of_key_file(path: Path, other: MasterKeys | None) -> Iterator[str]:
    if other is not None:
        yield "SECRETS_KEY_FILE: SECRETS_KEY is set too; set one of them"
    try:
        read_keys(path)
    except ValueError as fault:
        yield f"SECRETS_KEY_FILE: {fault}"
