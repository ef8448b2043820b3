"""An outage of PostgreSQL is waited for; an error that the same call would meet again is not."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import psycopg
import pytest
from sqlalchemy import create_engine, text
from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from state_manager.store.engine import call, connect
from state_manager.store.outages import describe, is_outage, retry_until_available
from tests.processes import free_port

if TYPE_CHECKING:
    from sqlalchemy import Engine

RAISE = "DO $$ BEGIN RAISE EXCEPTION 'as injected' USING ERRCODE = '{}'; END $$"
OUTAGES = ["08000", "08006", "08P01", "40001", "40P01", "53300", "57P01", "57P02", "57P03", "57P05"]
REFUSALS = ["21000", "22003", "22P05", "23505", "23514", "25006", "42P01", "42703", "53100", "53200", "54000", "54001",
            "55P03", "57014", "58030", "P0001", "XX000"]  # fmt: skip


def raised(engine: Engine, sqlstate: str, *, by_driver: bool) -> BaseException:
    with pytest.raises((SQLAlchemyError, psycopg.Error)) as caught:
        if by_driver:
            call(engine, RAISE.format(sqlstate), {})
        else:
            with engine.connect() as connection:
                connection.execute(text(RAISE.format(sqlstate)))
    return caught.value


@pytest.mark.parametrize("by_driver", [True, False], ids=["psycopg", "SQLAlchemy"])
def test_sqlstate_tells_an_outage_from_a_refusal(engine: Engine, *, by_driver: bool) -> None:
    assert {state for state in OUTAGES if is_outage(raised(engine, state, by_driver=by_driver))} == set(OUTAGES)
    assert {state for state in REFUSALS if is_outage(raised(engine, state, by_driver=by_driver))} == set()


def test_description_is_one_line_with_the_sqlstate(engine: Engine) -> None:
    assert describe(raised(engine, "54000", by_driver=False)) == "as injected (SQLSTATE 54000)"


def test_server_that_is_not_there_is_an_outage() -> None:
    nowhere = connect(f"postgresql://127.0.0.1:{free_port()}/exosphere")
    with pytest.raises(DBAPIError) as caught:
        nowhere.connect()
    assert is_outage(caught.value)
    assert "\n" not in describe(caught.value)


def test_session_that_is_terminated_is_an_outage(engine: Engine) -> None:
    with pytest.raises(psycopg.Error) as caught:
        call(engine, "SELECT pg_terminate_backend(pg_backend_pid())", {})
    assert is_outage(caught.value)


def test_pool_without_a_free_connection_is_an_outage(database_uri: str) -> None:
    small = create_engine(
        database_uri.replace("postgresql://", "postgresql+psycopg://"), pool_size=1, max_overflow=0, pool_timeout=0.01
    )
    with small.connect(), pytest.raises(SQLAlchemyError) as caught:
        small.connect()
    small.dispose()
    assert is_outage(caught.value)


def test_error_that_is_not_the_databases_is_no_outage() -> None:
    assert not is_outage(ValueError("no"))


def test_refused_call_is_not_sent_again(engine: Engine) -> None:
    calls = []

    def refused() -> None:
        calls.append(1)
        call(engine, RAISE.format("54000"), {})

    with pytest.raises(psycopg.errors.ProgramLimitExceeded):
        retry_until_available(refused)
    assert len(calls) == 1


def test_waiting_for_the_database_is_logged_when_it_begins_and_when_it_ends(
    engine: Engine, caplog: pytest.LogCaptureFixture
) -> None:
    left = iter(["57P03", "57P03", "40001"])

    def answers_at_the_fourth_call() -> str:
        if (sqlstate := next(left, None)) is not None:
            call(engine, RAISE.format(sqlstate), {})
        return "the answer"

    with caplog.at_level(logging.WARNING, logger="state_manager.store.outages"):
        assert retry_until_available(answers_at_the_fourth_call) == "the answer"
    waiting, again = caplog.messages
    assert waiting == "waiting for the database: as injected (SQLSTATE 57P03)"
    assert again.startswith("the database answers again, after ")
