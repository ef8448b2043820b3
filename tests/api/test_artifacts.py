"""Artifacts by the API: the list of an execution's, and the bytes of one."""

from __future__ import annotations

import hashlib
import shutil
from datetime import timedelta
from typing import TYPE_CHECKING
from uuid import UUID, uuid4

import pytest
from uuid_utils.compat import uuid7

from state_manager.artifact_bytes import ArtifactBytes
from state_manager.config import Settings
from state_manager.store import artifacts
from state_manager.store.artifacts import NewArtifact
from state_manager.store.transitions import claim
from tests.api.conftest import cluster, satellite

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from flask.testing import FlaskClient
    from sqlalchemy import Engine

    from state_manager.store.transitions import Claimed

DATA = bytes(range(256)) * 20_000  # five megabytes


@pytest.fixture
def client(make_client: Callable[..., FlaskClient], tmp_path: Path) -> FlaskClient:
    return make_client(home=tmp_path)


@pytest.fixture
def attempt(client: FlaskClient, engine: Engine) -> Claimed:
    shown = client.post("/executions", json=cluster(satellite("fetch"))).get_json()
    ids = [UUID(shown["satellites"][0]["satellite_id"])]
    lease = timedelta(seconds=15)
    (attempt,) = claim(engine, ids, worker=UUID(int=1), name="w", lease=lease, max_input_bytes=1)
    return attempt


@pytest.fixture
def put(engine: Engine, attempt: Claimed, tmp_path: Path) -> Callable[..., str]:
    """Return what keeps an artifact as a worker does, and answers its id."""
    kept = ArtifactBytes(Settings(home=tmp_path))

    def put(name: str = "report.txt", data: bytes = DATA, media_type: str = "text/plain") -> str:
        digest = hashlib.sha256(data).hexdigest()
        new = NewArtifact(uuid7(), name, media_type, len(data), digest, kept.location)
        kept.write(attempt.execution_id, new.id, [data])
        artifacts.put(engine, attempt, new)
        return str(new.id)

    return put


def test_download_has_size_type_name_and_hash(client: FlaskClient, put: Callable[..., str]) -> None:
    answer = client.get(f"/artifacts/{put()}")
    assert (answer.status_code, answer.data) == (200, DATA)
    assert answer.headers["Content-Length"] == str(len(DATA))
    assert answer.headers["Content-Type"] == "text/plain; charset=utf-8"
    assert answer.headers["Content-Disposition"] == "attachment; filename=report.txt"
    assert answer.headers["ETag"] == f'"{hashlib.sha256(DATA).hexdigest()}"'
    assert answer.headers["Accept-Ranges"] == "bytes"


def test_empty_artifact_is_downloaded(client: FlaskClient, put: Callable[..., str]) -> None:
    answer = client.get(f"/artifacts/{put(data=b'')}")
    assert (answer.status_code, answer.data, answer.headers["Content-Length"]) == (200, b"", "0")


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("../../etc/passwd", "attachment; filename=.._.._etc_passwd"),
        ("日本.pdf", "attachment; filename=.pdf; filename*=UTF-8''%E6%97%A5%E6%9C%AC.pdf"),
        ('a"b; c.txt', 'attachment; filename="a\\"b; c.txt"'),
        ("Übersicht.pdf", "attachment; filename=Ubersicht.pdf; filename*=UTF-8''%C3%9Cbersicht.pdf"),
    ],
)
def test_odd_names_are_safe_in_the_header(client: FlaskClient, put: Callable[..., str], name: str, shown: str) -> None:
    assert client.get(f"/artifacts/{put(name)}").headers["Content-Disposition"] == shown


def test_browser_runs_nothing_of_an_artifact(client: FlaskClient, put: Callable[..., str]) -> None:
    answer = client.get(f"/artifacts/{put('page.html', b'<script>', 'text/html')}")
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert answer.headers["Content-Security-Policy"] == "sandbox; default-src 'none'"
    assert answer.headers["Content-Disposition"].startswith("attachment")


@pytest.mark.parametrize(
    ("asked", "start", "end"),
    [("bytes=0-9", 0, 10), ("bytes=4000000-", 4_000_000, len(DATA)), ("bytes=-5", len(DATA) - 5, len(DATA))],
)
def test_range_of_an_artifact_is_downloaded(
    client: FlaskClient, put: Callable[..., str], asked: str, start: int, end: int
) -> None:
    answer = client.get(f"/artifacts/{put()}", headers={"Range": asked})
    assert (answer.status_code, answer.data) == (206, DATA[start:end])
    assert answer.headers["Content-Range"] == f"bytes {start}-{end - 1}/{len(DATA)}"
    assert answer.headers["Content-Length"] == str(end - start)


def test_range_beyond_the_end_is_refused_with_the_size(client: FlaskClient, put: Callable[..., str]) -> None:
    answer = client.get(f"/artifacts/{put(data=b'abc')}", headers={"Range": "bytes=3-"})
    assert (answer.status_code, answer.headers["Content-Range"]) == (416, "bytes */3")
    assert answer.get_json()["code"] == 416


def test_known_artifact_is_not_sent_again(client: FlaskClient, put: Callable[..., str]) -> None:
    artifact_id = put(data=b"abc")
    etag = client.get(f"/artifacts/{artifact_id}").headers["ETag"]
    answer = client.get(f"/artifacts/{artifact_id}", headers={"If-None-Match": etag})
    assert (answer.status_code, answer.data) == (304, b"")


def test_head_answers_without_bytes(client: FlaskClient, put: Callable[..., str]) -> None:
    answer = client.head(f"/artifacts/{put()}")
    assert (answer.status_code, answer.data, answer.headers["Content-Length"]) == (200, b"", str(len(DATA)))


def test_unknown_artifact_is_404(client: FlaskClient) -> None:
    answer = client.get(f"/artifacts/{uuid4()}")
    assert answer.status_code == 404
    assert "a later attempt has replaced it" in answer.get_json()["message"]
    assert client.get("/artifacts/a").status_code == 404


def test_missing_bytes_are_410_and_say_why(client: FlaskClient, put: Callable[..., str], tmp_path: Path) -> None:
    artifact_id = put()
    shutil.rmtree(tmp_path / "artifacts")
    answer = client.get(f"/artifacts/{artifact_id}")
    assert answer.status_code == 410
    assert f"the bytes of artifact {artifact_id} ('report.txt') are not at file://" in answer.get_json()["message"]


def test_location_that_fails_is_503(client: FlaskClient, put: Callable[..., str], tmp_path: Path) -> None:
    artifact_id = put()
    shutil.rmtree(tmp_path / "artifacts")
    (tmp_path / "artifacts").write_text("no folder")
    answer = client.get(f"/artifacts/{artifact_id}")
    assert (answer.status_code, answer.headers["Retry-After"]) == (503, "2")


def test_artifacts_of_an_execution_are_listed_by_pages(
    client: FlaskClient, put: Callable[..., str], attempt: Claimed
) -> None:
    ids = [put(f"a{at}.txt", b"abc") for at in range(3)]
    where = f"/executions/{attempt.execution_id}/artifacts"
    first = client.get(where, query_string={"limit": 2}).get_json()
    second = client.get(where, query_string={"limit": 2, "cursor": first["next_cursor"]}).get_json()
    assert [one["id"] for one in first["items"] + second["items"]] == ids
    assert second["next_cursor"] is None
    created_at = first["items"][0].pop("created_at")
    assert created_at.endswith("Z")
    assert first["items"][0] == {
        "uri": f"artifact:{ids[0]}", "id": ids[0], "name": "a0.txt", "size": 3,
        "sha256": hashlib.sha256(b"abc").hexdigest(), "media_type": "text/plain",
        "execution_id": str(attempt.execution_id), "satellite_id": str(attempt.id), "satellite": "fetch", "attempt": 1,
    }  # fmt: skip


def test_list_of_an_unknown_execution_is_404_and_a_bad_query_422(client: FlaskClient, attempt: Claimed) -> None:
    assert client.get(f"/executions/{uuid4()}/artifacts").status_code == 404
    where = f"/executions/{attempt.execution_id}/artifacts"
    assert client.get(where).get_json() == {"items": [], "next_cursor": None}
    for query in ({"limit": 0}, {"limit": 201}, {"cursor": "a"}, {"other": 1}):
        assert client.get(where, query_string=query).status_code == 422
