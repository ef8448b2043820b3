"""Secrets reach a satellite when it asks for them, and go no further than its process."""

from __future__ import annotations

import base64
import json
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pytest
from sqlalchemy import text

from exospherehost import ConfigurationError
from exospherehost.store import Store
from state_manager.secrets.envelope import Place, seal
from state_manager.secrets.keys import parse_keys
from state_manager.store import secrets
from tests.factories import Graph, submit
from tests.workers.test_runner import attempt as any_attempt
from workers import process
from workers.attempt import redaction, runner
from workers.attempt.redaction import Redactor
from workers.attempt.runner import Finished
from workers.attempt.secrets import AttemptSecrets
from workers.attempt.shared_values import SharedValues

if TYPE_CHECKING:
    from collections.abc import Iterator
    from uuid import UUID

    from sqlalchemy import Engine

    from state_manager.store.transitions import Claimed
    from tests.workers.broker import Broker

KEY, OTHER_KEY = (base64.b64encode(bytes(range(first, first + 32))).decode() for first in (1, 101))
VALUE, ANOTHER = "correct horse\nbattery staple", "another value"
NOTHING: Graph = {"a": []}


@pytest.fixture(autouse=True)
def master_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SECRETS_KEY", KEY)


@pytest.fixture
def redactor() -> Iterator[Redactor]:
    with Redactor() as made:
        yield made


def put(engine: Engine, name: str = "TOKEN", value: str = VALUE, *, key: str = KEY) -> None:
    place = Place("test", name)
    secrets.put(engine, place, seal(parse_keys(key), place, value))


def execution(engine: Engine) -> UUID:
    return submit(engine, NOTHING).execution_id


def read(execution_id: UUID, redactor: Redactor) -> AttemptSecrets:
    return AttemptSecrets(execution_id, redactor)


def attempt(engine: Engine, **config: Any) -> Claimed:
    return any_attempt("tell", execution_id=execution(engine), config={"secrets": ["TOKEN"], **config})


class Progress:
    """Keeps what is reported instead of sending it."""

    def __init__(self) -> None:
        self.said: list[str] = []

    def publish_progress(self, _execution_id: UUID, _satellite_id: UUID, said: Any) -> None:
        self.said.append(json.dumps(said))


def run(one: Claimed) -> tuple[Finished, list[str]]:
    me, progress = process.current_process(), Progress()
    me.held_attempts.hold([one])
    finished = runner.run(one, me.watchdog, progress)  # type: ignore[arg-type]
    assert isinstance(finished, Finished)
    return finished, progress.said


def test_secret_is_read_when_it_is_asked_for_and_redacted_from_then_on(
    broker: Broker, engine: Engine, redactor: Redactor
) -> None:
    put(engine)
    mine = read(execution(engine), redactor)
    assert not redaction.is_active()
    assert mine["TOKEN"] == VALUE
    assert redaction.redact(f"<{VALUE}>") == "<***>"


def test_secret_stays_the_same_throughout_an_attempt(broker: Broker, engine: Engine, redactor: Redactor) -> None:
    put(engine)
    execution_id = execution(engine)
    mine = read(execution_id, redactor)
    assert mine["TOKEN"] == VALUE
    put(engine, value=ANOTHER)
    assert mine["TOKEN"] == VALUE
    assert read(execution_id, redactor)["TOKEN"] == ANOTHER


def test_missing_secret_is_a_configuration_error_that_names_it(
    broker: Broker, engine: Engine, redactor: Redactor
) -> None:
    put(engine)
    mine = read(execution(engine), redactor)
    with pytest.raises(ConfigurationError) as caught:
        mine["TOKN"]
    message = "neither this execution nor its project has a secret 'TOKN'; did you mean 'TOKEN'?"
    assert str(caught.value) == message
    assert mine.get("TOKN") is None
    assert "TOKN" not in mine
    assert "nul \0" not in mine


def test_names_are_listed_and_no_value_is_shown(broker: Broker, engine: Engine, redactor: Redactor) -> None:
    put(engine, "B")
    put(engine, "A")
    mine = read(execution(engine), redactor)
    assert (list(mine), len(mine)) == (["A", "B"], 2)
    assert mine["A"] == VALUE
    assert VALUE not in f"{mine!r} {mine}"


def test_secret_of_another_project_is_not_seen(broker: Broker, engine: Engine, redactor: Redactor) -> None:
    put(engine)
    other = submit(engine, NOTHING, project="other").execution_id
    assert list(read(other, redactor)) == []
    assert "TOKEN" not in read(uuid4(), redactor)


def test_row_that_was_moved_to_another_project_is_refused(broker: Broker, engine: Engine, redactor: Redactor) -> None:
    put(engine)
    other = submit(engine, NOTHING, project="other").execution_id
    with engine.connect() as connection:
        connection.execute(text("UPDATE secrets SET project = 'other'"))
    with pytest.raises(ConfigurationError, match=r"secret 'TOKEN' cannot be read: .* was altered"):
        read(other, redactor)["TOKEN"]


def test_secret_under_an_unknown_master_key_is_refused(broker: Broker, engine: Engine, redactor: Redactor) -> None:
    put(engine, key=OTHER_KEY)
    with pytest.raises(ConfigurationError, match=r"secret 'TOKEN' cannot be read: master key .* is not in SECRETS_KEY"):
        read(execution(engine), redactor)["TOKEN"]


def test_without_a_master_key_a_secret_is_refused(
    broker: Broker, engine: Engine, redactor: Redactor, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(engine)
    monkeypatch.delenv("SECRETS_KEY")
    with pytest.raises(ConfigurationError, match="set SECRETS_KEY"):
        read(execution(engine), redactor)["TOKEN"]


def test_output_and_progress_hold_no_secret(broker: Broker, engine: Engine) -> None:
    put(engine)
    finished, said = run(attempt(engine))
    output = finished.outcome.output
    assert output["told"] == {"TOKEN": "***"}
    assert finished.outcome.output_bytes == len(json.dumps(output))
    assert [json.loads(one)["message"] for one in said] == ["progress ***"]
    assert not redaction.is_active()


@pytest.mark.parametrize("raises", ["transient", "value"])
def test_error_and_its_chain_hold_no_secret(broker: Broker, engine: Engine, raises: str) -> None:
    put(engine)
    finished, _ = run(attempt(engine, raises=raises))
    outcome = finished.outcome
    assert "cannot log in as {'TOKEN': '***'}" in (outcome.traceback or "")
    for shown in (outcome.error, outcome.traceback, str(finished.error)):
        assert "***" in str(shown)
        assert not [one for one in redaction.spellings(VALUE) if one in str(shown)]
    assert finished.error is not None
    assert (finished.error.__cause__, finished.error.__context__, finished.error.__traceback__) == (None, None, None)


def test_store_refuses_a_secret(broker: Broker, engine: Engine, redactor: Redactor) -> None:
    store = Store(SharedValues(attempt(engine), redactor))
    redactor.add(VALUE)
    with pytest.raises(ConfigurationError, match="the store's key 'token' holds a secret"):
        store.put("token", {"of": [VALUE]})


def test_failure_before_a_secret_is_read_is_its_own_exception(broker: Broker, engine: Engine) -> None:
    finished, _ = run(attempt(engine))
    assert isinstance(finished.error, ConfigurationError)
    assert finished.outcome.error_kind == "configuration_error"
    assert "has a secret 'TOKEN'" in str(finished.outcome.error)


def test_expressions_resolve_to_secrets_and_their_values_stay_out_of_the_output(broker: Broker, engine: Engine) -> None:
    put(engine)
    one = any_attempt(
        "nothing",
        identifier="satellite/exospherehost/echo",
        execution_id=execution(engine),
        config={"header": "Bearer ${{ secrets.TOKEN }}"},
        dynamic={"scopes": [""]},
    )
    finished, _ = run(one)
    assert finished.outcome.error is None, finished.outcome.traceback
    assert finished.outcome.output == {"config": {"header": "Bearer ***"}, "input": {}}


def test_secret_becomes_no_item_of_a_fan_out(broker: Broker, engine: Engine) -> None:
    put(engine)
    template: dict[str, Any] = {"name": "", "dependencies": [], "dynamic": None}
    one = any_attempt(
        "nothing",
        execution_id=execution(engine),
        dynamic={"for_each": "${{ [secrets.TOKEN] }}", "template": [template], "scopes": [""]},
    )
    finished, _ = run(one)
    assert finished.outcome.expansion is None
    assert "an item of for_each holds a secret" in str(finished.outcome.error)
