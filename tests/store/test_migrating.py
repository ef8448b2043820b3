"""A migration needs a PostgreSQL that is new enough."""

from __future__ import annotations

import pytest
from sqlalchemy import inspect

from state_manager.store import migrate
from state_manager.store.engine import connect
from tests.services import fresh_database


def test_postgresql_that_is_too_old_is_refused_and_left_alone(postgres: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(migrate, "MIN_VERSION", 99)
    with fresh_database(postgres, "template1") as uri:
        with pytest.raises(migrate.UnsupportedDatabase, match=r"PostgreSQL \d+\.\d+ is too old: 99 or newer is needed"):
            migrate.migrate(uri)
        engine = connect(uri)
        assert inspect(engine).get_table_names() == []
        engine.dispose()
