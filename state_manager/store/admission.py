"""Admission of pending executions, while fewer run than MAX_CONCURRENT_EXECUTIONS."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import text

if TYPE_CHECKING:
    from uuid import UUID

    from sqlalchemy import Engine

_REPAIR = text("SELECT repair_admission(:max_concurrent)")


def repair_admission(engine: Engine, max_concurrent: int) -> list[UUID]:
    """Recount the running executions, and admit those that wait while there is room; return the admitted ones."""
    with engine.connect() as connection:
        return list(connection.execute(_REPAIR, {"max_concurrent": max_concurrent}).scalar_one())
