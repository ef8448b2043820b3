"""get-files-from-s3 lists real buckets over HTTP, and local folders; its errors say what is wrong, without a secret."""

from __future__ import annotations

import traceback
from typing import TYPE_CHECKING, Any

import pytest
from jsonschema import Draft202012Validator

from exospherehost import ConfigurationError, SatelliteError, TransientError
from state_manager.config import load_settings, settings
from tests.files.running import run
from tests.files.s3 import check_credentials, failing_server, s3_server
from tests.files.serve_s3 import COUNT, THOUSANDS
from workers.files.stores import allowed_folders
from workers.satellites.get_files_from_s3 import SCHEMA

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.files.s3 import S3Server

ODD_NAMES = (
    "a b.pdf", "ü/ñ.pdf", "a%20b.pdf", "q?x=1#y.pdf", "plus+.pdf", "quote'\".pdf", "*star.pdf", "[br].pdf",
    "back\\slash.pdf", "emoji😀.pdf", "~t.pdf", "com,ma.pdf", "am&p.pdf", "semi;colon.pdf", "<tag>.pdf",
)  # fmt: skip


def list_files(config: dict[str, Any]) -> Any:
    return run("get-files-from-s3", config)


def keys(output: Any) -> list[str]:
    return [one["uri"].split("/", 3)[3] for one in output["files"]]


def failure(config: dict[str, Any]) -> SatelliteError:
    with pytest.raises(SatelliteError) as failed:
        list_files(config)
    return failed.value


def everything_shown(error: BaseException) -> str:
    return "".join(traceback.format_exception(error)) + repr(error)


@pytest.fixture(scope="module")
def documents(s3: S3Server) -> dict[str, Any]:
    """Return access to a bucket with a few folders."""
    files = (
        "reports/2025-12.pdf", "reports/2026-01.pdf", "reports/2026-02.PDF", "reports/2026-02.txt",
        "reports/drafts/2026-03.pdf", "reports-old/1999.pdf", "top.pdf",
    )  # fmt: skip
    s3.put("documents", dict.fromkeys(files, b"data"))
    s3.client().put_object(Bucket="documents", Key="reports/", Body=b"")
    s3.client().put_object(Bucket="documents", Key="reports/empty.txt", Body=b"")
    return {"bucket": "documents", **s3.config}


def test_thousands_of_files_come_in_pages(s3: S3Server) -> None:
    listed: list[str] = []
    config = {"bucket": THOUSANDS, **s3.access, "endpoint": s3.endpoint}
    output = run("get-files-from-s3", config, report=lambda _, message: listed.append(message))
    assert keys(output) == [f"many/{at:05}.pdf" for at in range(COUNT)]
    assert (output["count"], output["truncated"]) == (COUNT, False)
    assert listed == ["1000 files listed, 999 selected", "2000 files listed, 1999 selected"]


def test_reference_says_what_and_where_the_file_is(documents: dict[str, Any]) -> None:
    (reference,) = list_files(documents | {"prefix": "top.pdf", "region": "us-east-1"})["files"]
    modified = reference.pop("modified")
    assert modified.endswith("Z")
    assert reference == {
        "uri": "s3://documents/top.pdf",
        "size": 4,
        "etag": "8d777f385d3dfec8815d20f7496026dc",
        "endpoint": documents["endpoint"],
        "region": "us-east-1",
    }


def test_odd_names_are_kept(s3: S3Server) -> None:
    s3.put("odd-names", dict.fromkeys(ODD_NAMES, b"x"))
    assert keys(list_files({"bucket": "odd-names", **s3.config})) == sorted(ODD_NAMES, key=str.encode)


@pytest.mark.parametrize(
    ("config", "found"),
    [
        ({"prefix": "reports/2026-"}, ["reports/2026-01.pdf", "reports/2026-02.PDF", "reports/2026-02.txt"]),
        ({"prefix": "reports/drafts/"}, ["reports/drafts/2026-03.pdf"]),
        ({"prefix": "top.pdf"}, ["top.pdf"]),
        ({"prefix": "nothing/"}, []),
        ({"recursive": False}, ["top.pdf"]),
        ({"recursive": False, "prefix": "reports/e"}, ["reports/empty.txt"]),
        ({"recursive": False, "prefix": "reports/2026-01"}, ["reports/2026-01.pdf"]),
        ({"extensions": [".PDF"], "prefix": "reports/2026-02"}, ["reports/2026-02.PDF"]),
        ({"include": ["*2026*"], "exclude": ["*/drafts/*", "*.txt"]}, ["reports/2026-01.pdf", "reports/2026-02.PDF"]),
        ({"include": ["reports/202[56]-?[12].pdf"]}, ["reports/2025-12.pdf", "reports/2026-01.pdf"]),
        ({"include": ["top.pdf", "reports-old/*"]}, ["reports-old/1999.pdf", "top.pdf"]),
    ],
)  # fmt: skip
def test_configuration_selects_files(documents: dict[str, Any], config: dict[str, Any], found: list[str]) -> None:
    assert keys(list_files(documents | config)) == found


def test_folder_marker_is_no_file_but_an_empty_file_is(documents: dict[str, Any]) -> None:
    found = keys(list_files(documents | {"prefix": "reports"}))
    assert "reports" not in found
    assert "reports/empty.txt" in found


def test_limit_cuts_the_list_and_says_so(documents: dict[str, Any]) -> None:
    output = list_files(documents | {"extensions": ["pdf"], "limit": 2})
    assert (keys(output), output["truncated"]) == (["reports-old/1999.pdf", "reports/2025-12.pdf"], True)
    assert not list_files(documents | {"prefix": "top", "limit": 1})["truncated"]


def test_prefix_within_a_long_folder_is_found(s3: S3Server) -> None:
    output = list_files({"bucket": THOUSANDS, "prefix": "many/0123", **s3.config})
    assert keys(output) == [f"many/{at:05}.pdf" for at in range(1230, 1240)]


def test_more_references_than_an_output_holds_are_refused_by_name_of_the_limit(
    s3: S3Server, monkeypatch: pytest.MonkeyPatch, documents: dict[str, Any]
) -> None:
    monkeypatch.setenv("MAX_OUTPUT_BYTES", "500")
    settings.cache_clear()
    try:
        error = failure(documents)
        assert isinstance(error, ConfigurationError)
        assert "MAX_OUTPUT_BYTES): set limit, or select fewer files" in str(error)
        assert list_files(documents | {"limit": 1})["count"] == 1
    finally:
        settings.cache_clear()


def test_missing_bucket_is_a_configuration_error(s3: S3Server) -> None:
    error = failure({"bucket": "not-there", **s3.config})
    assert isinstance(error, ConfigurationError)
    assert str(error) == "s3://not-there/: it does not exist (404 NoSuchBucket)"


@pytest.fixture(scope="module")
def guarded() -> Iterator[tuple[S3Server, dict[str, str]]]:
    """Yield a server that checks signatures, and a key that it knows."""
    with s3_server() as server:
        server.put("guarded", {"a.pdf": b"x"})
        yield server, check_credentials(server)


def test_right_credentials_are_accepted(guarded: tuple[S3Server, dict[str, str]]) -> None:
    server, key = guarded
    assert keys(list_files({"bucket": "guarded", "endpoint": server.endpoint, **key})) == ["a.pdf"]


@pytest.mark.parametrize("wrong", ["access_key_id", "secret_access_key"])
def test_wrong_credentials_are_a_configuration_error_without_them(
    guarded: tuple[S3Server, dict[str, str]], wrong: str
) -> None:
    server, key = guarded
    given = key | {wrong: "wrong-and-a-secret"}
    error = failure({"bucket": "guarded", "endpoint": server.endpoint, **given})
    assert isinstance(error, ConfigurationError)
    assert "access denied (403 " in str(error)
    for secret in given.values():
        assert secret not in everything_shown(error)


def test_wrong_session_token_is_denied_too(guarded: tuple[S3Server, dict[str, str]]) -> None:
    server, key = guarded
    error = failure({"bucket": "guarded", "endpoint": server.endpoint, "session_token": "a-secret", **key})
    assert "access denied (400 InvalidToken)" in str(error)
    assert "a-secret" not in everything_shown(error)


def test_body_that_repeats_the_request_is_not_shown() -> None:
    body = b"<Error><Code>SignatureDoesNotMatch</Code><CanonicalRequest>x-amz-token:hunter2</CanonicalRequest></Error>"
    with failing_server(403, body) as (endpoint, _):
        error = failure(
            {"bucket": "some", "endpoint": endpoint, "access_key_id": "hunter2", "secret_access_key": "hunter2"}
        )
    assert "access denied (403 SignatureDoesNotMatch)" in str(error)
    assert "hunter2" not in everything_shown(error)


@pytest.mark.parametrize("status", [429, 500, 503])
def test_throttling_and_errors_of_the_server_are_transient(status: int) -> None:
    with failing_server(status) as (endpoint, requested):
        error = failure({"bucket": "busy", "endpoint": endpoint, "access_key_id": "a", "secret_access_key": "b"})
    assert isinstance(error, TransientError)
    assert str(error) == f"s3://busy/: the store is unavailable ({status} SlowDown)"
    assert len(requested) > 1, "obstore tries again by itself"


def test_short_throttling_is_waited_for() -> None:
    with failing_server(503, times=2) as (endpoint, requested):
        output = list_files({"bucket": "busy", "endpoint": endpoint, "anonymous": True})
    assert output == {"files": [], "count": 0, "truncated": False}
    assert len(requested) == 3


def test_server_that_is_not_there_is_transient() -> None:
    error = failure({"bucket": "some", "endpoint": "http://127.0.0.1:9", "anonymous": True})
    assert isinstance(error, TransientError)
    assert str(error) == "s3://some/: the store does not answer"


@pytest.mark.parametrize("endpoint", ["no url", "ftp://x", "http://", "http://user:hunter2@host", "http://[::1"])
def test_endpoint_that_is_no_url_is_named_without_its_password(endpoint: str) -> None:
    error = failure({"bucket": "some", "endpoint": endpoint, "anonymous": True})
    assert isinstance(error, ConfigurationError)
    assert "is not a URL of http or https" in str(error)
    assert "hunter2" not in everything_shown(error)


def test_key_that_cannot_be_handled_is_named(s3: S3Server) -> None:
    s3.put("odd-keys", {})
    s3.client().put_object(Bucket="odd-keys", Key="a//b.pdf", Body=b"x")
    error = failure({"bucket": "odd-keys", **s3.config})
    assert isinstance(error, ConfigurationError)
    assert 'the key "a//b.pdf" cannot be handled' in str(error)


def test_access_comes_from_the_environment_too(s3: S3Server, monkeypatch: pytest.MonkeyPatch) -> None:
    s3.put("environment", {"a.pdf": b"x"})
    monkeypatch.setenv("AWS_ENDPOINT_URL", s3.endpoint)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", s3.access["access_key_id"])
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", s3.access["secret_access_key"])
    (reference,) = list_files({"bucket": "environment"})["files"]
    assert set(reference) == {"uri", "size", "etag", "modified"}


def test_local_folder_is_listed_without_what_links_lead_to(tmp_path: Path) -> None:
    folder = tmp_path / "in"
    (folder / "below").mkdir(parents=True)
    for name in ("b ü%20.pdf", "a.pdf", "below/c.pdf"):
        (folder / name).write_bytes(b"x")
    secret = tmp_path / "secret"
    secret.mkdir()
    (secret / "key.pdf").write_bytes(b"x")
    (folder / "link.pdf").symlink_to(secret / "key.pdf")
    (folder / "linked").symlink_to(secret)
    (folder / "broken").symlink_to(tmp_path / "nowhere")
    output = list_files({"uri": folder.as_uri()})
    assert [one["uri"] for one in output["files"]] == [
        (folder / name).as_uri() for name in ("a.pdf", "b ü%20.pdf", "below/c.pdf")
    ]
    flat = list_files({"uri": folder.as_uri(), "recursive": False})
    assert flat["count"] == 2


def test_local_folder_that_is_not_there_is_a_configuration_error(tmp_path: Path) -> None:
    error = failure({"uri": (tmp_path / "a/b").as_uri()})
    assert isinstance(error, ConfigurationError)
    assert "there is no such folder" in str(error)


def test_local_folders_are_used_only_where_that_is_allowed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "open").mkdir()
    (tmp_path / "open/a.pdf").write_bytes(b"x")
    (tmp_path / "closed").mkdir()
    (tmp_path / "open/way-out").symlink_to(tmp_path / "closed")
    monkeypatch.setenv("LOCAL_FOLDERS", str(tmp_path / "open"))
    settings.cache_clear()
    try:
        assert list_files({"uri": (tmp_path / "open").as_uri()})["count"] == 1
        for place in ("closed", "open/../closed", "open/way-out"):
            error = failure({"uri": f"file://{tmp_path}/{place}"})
            assert "is not in a folder whose files may be used here (LOCAL_FOLDERS: " in str(error)
    finally:
        settings.cache_clear()


def test_production_uses_no_local_files_by_default() -> None:
    production = {"ENVIRONMENT": "production", "DATABASE_URI": "postgresql://a/b", "REDIS_URI": "redis://a"}
    assert allowed_folders(load_settings(production)) == ()


@pytest.mark.parametrize(
    ("config", "fault"),
    [
        ({}, "'bucket' is a required property"),
        ({"uri": "s3://a/b", "bucket": "c"}, "False schema does not allow 'c'"),
        ({"bucket": "a", "limit": 0}, "0 is less than the minimum of 1"),
        ({"bucket": "a", "extension": ["pdf"]}, "('extension' was unexpected)"),
    ],
)
def test_wrong_configuration_is_refused_at_submission(config: dict[str, Any], fault: str) -> None:
    assert fault in "".join(error.message for error in Draft202012Validator(SCHEMA).iter_errors(config))


@pytest.mark.parametrize("uri", ["bucket/key", "ftp://a/b", "s3://", "s3:///key", "file://host/a"])
def test_uri_that_names_no_place_is_a_configuration_error(uri: str) -> None:
    assert isinstance(failure({"uri": uri}), ConfigurationError)
