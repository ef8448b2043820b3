"""Artifacts of a worker's satellites: bytes before rows, nothing half written, nothing of an attempt taken away."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import threading
from typing import TYPE_CHECKING, Any
from uuid import UUID

import pytest

from exospherehost import ConfigurationError
from exospherehost.artifacts import CHUNK_BYTES, Artifacts
from state_manager.config import settings
from state_manager.errors import LateOutcome
from state_manager.store import artifacts as rows
from state_manager.store.artifacts import NewArtifact
from tests.factories import front, submit
from tests.store.attempts import claim, failed_for_now, settle, take_away
from workers.attempt import interrupts
from workers.attempt.artifacts import KeptArtifacts
from workers.attempt.interrupts import Interrupted, Reason, interruptible
from workers.attempt.redaction import Redactor

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from sqlalchemy import Engine

    from state_manager.store.transitions import Claimed
    from tests.factories import Submitted
    from tests.workers.broker import Broker


@pytest.fixture
def home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, broker: Broker) -> Path:
    monkeypatch.setenv("EXOSPHERE_HOME", str(tmp_path))
    settings.cache_clear()
    return tmp_path


@pytest.fixture
def submitted(engine: Engine) -> Submitted:
    return submit(engine, front(2), max_attempts=2)


@pytest.fixture
def attempt(home: Path, engine: Engine, submitted: Submitted) -> Claimed:
    (attempt,) = claim(engine, submitted, "s0")
    return attempt


def of(attempt: Claimed) -> Artifacts:
    return Artifacts(KeptArtifacts(attempt, Redactor()))


def files(home: Path) -> list[Path]:
    return [path for path in (home / "artifacts").rglob("*") if path.is_file()]


def test_artifact_is_read_by_other_satellites(engine: Engine, submitted: Submitted, attempt: Claimed) -> None:
    data = os.urandom(2 * CHUNK_BYTES + 9)
    reference = of(attempt).put("data", data, None)
    (other,) = claim(engine, submitted, "s1")
    assert of(other).get(reference) == data
    with of(other).open(reference["id"]) as file:
        file.seek(CHUNK_BYTES)
        assert file.read(10) == data[CHUNK_BYTES:][:10]


def test_artifact_of_another_project_is_not_there(engine: Engine, attempt: Claimed) -> None:
    reference = of(attempt).put("data", b"a", None)
    (stranger,) = claim(engine, submit(engine, front(1), project="other"), "s0")
    with pytest.raises(ConfigurationError, match=f"there is no artifact {reference['id']} in this project"):
        of(stranger).get(reference)


def test_repeated_attempt_replaces_the_artifact_and_its_bytes(
    engine: Engine, home: Path, submitted: Submitted, attempt: Claimed
) -> None:
    before = of(attempt).put("data", b"first", None)
    settle(engine, failed_for_now(attempt, 0))
    (second,) = claim(engine, submitted, "s0")
    after = of(second).put("data", b"second", None)
    assert of(second).get(after) == b"second"
    assert [path.name for path in files(home)] == [after["id"]]
    with pytest.raises(ConfigurationError, match="a later one of its satellite and name has replaced it"):
        of(second).get(before)


def test_attempt_that_was_taken_away_leaves_no_bytes(engine: Engine, home: Path, attempt: Claimed) -> None:
    take_away(engine, attempt.id)
    with pytest.raises(LateOutcome):
        of(attempt).put("data", b"a", None)
    assert files(home) == []


def test_name_never_leads_out_of_the_location(home: Path, attempt: Claimed) -> None:
    for name in ("../../../tmp/evil", "/etc/evil", "..", "a/../../b"):
        reference = of(attempt).put(name, b"a", None)
        assert of(attempt).get(reference) == b"a"
    folder = home / "artifacts" / str(attempt.execution_id)
    assert {path.parent for path in files(home)} == {folder}
    assert {str(UUID(path.name)) for path in files(home)} == {path.name for path in files(home)}


def test_missing_bytes_are_a_configuration_error(home: Path, attempt: Claimed) -> None:
    reference = of(attempt).put("data", b"a", None)
    shutil.rmtree(home / "artifacts")
    with pytest.raises(ConfigurationError, match=r"\('data'\) are not at file://.*; they were removed, or replaced"):
        of(attempt).get(reference)


def test_artifact_of_another_machine_says_so(engine: Engine, attempt: Claimed) -> None:
    artifact = NewArtifact(UUID(int=9), "data", "text/plain", 1, "a", "file://another-machine/srv")
    rows.put(engine, attempt, artifact)
    with pytest.raises(ConfigurationError, match="written to file://another-machine/srv: the API and all workers need"):
        of(attempt).get(artifact.id)


def test_interruption_breaks_off_an_upload_between_two_chunks(home: Path, attempt: Claimed, engine: Engine) -> None:
    interrupts.install()

    class Endless:
        chunks = 0

        def read(self, size: int) -> bytes:
            self.chunks += 1
            if self.chunks == 3:
                threading.Thread(target=me.interrupt, args=(Reason.TIMEOUT,)).start()
            return bytes(size)

    with interruptible() as me, pytest.raises(Interrupted), me.exposed():
        of(attempt).put("data", Endless(), None)
    assert me.delivered
    assert files(home) == []
    assert rows.find(engine, attempt.execution_id, after=None, limit=1) == []


def test_asynchronous_satellites_keep_several_at_a_time(home: Path, attempt: Claimed) -> None:
    async def satellite() -> Any:
        keep = [asyncio.to_thread(of(attempt).put, f"a{at}", bytes([at]) * 1000, None) for at in range(8)]
        return await asyncio.gather(*keep)

    with interruptible() as me, me.exposed():
        references = me.run(satellite())
    assert [of(attempt).get(one)[0] for one in references] == list(range(8))


def test_signals_reach_a_process_that_uploads(home: Path, attempt: Claimed) -> None:
    def chunks() -> Iterator[bytes]:
        yield bytes(CHUNK_BYTES)
        os.kill(os.getpid(), signal.SIGUSR1)
        yield bytes(CHUNK_BYTES)

    class File:
        source = chunks()

        def read(self, _: int) -> bytes:
            return next(self.source, b"")

    received = []
    before = signal.signal(signal.SIGUSR1, lambda *_: received.append(True))
    try:
        of(attempt).put("data", File(), None)
    finally:
        signal.signal(signal.SIGUSR1, before)
    assert received == [True]
