"""The checks of settings against each other, where each by itself is sound."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from state_manager.config import Settings


def contradictions(settings: Settings) -> Iterator[str]:
    """Name the settings that do not go together."""
    if settings.environment == "production":
        needed = {"DATABASE_URI": settings.database_uri, "REDIS_URI": settings.redis_uri}
        yield from (f"{name}: must be set when ENVIRONMENT is production" for name, uri in needed.items() if not uri)
