"""Access to the stores of files: from a location and a satellite's configuration to a store of obstore."""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from obstore.store import AzureStore, GCSStore, LocalStore, S3Store

from exospherehost import ConfigurationError
from state_manager.config import settings
from state_manager.setting import redacted
from workers.files.errors import store_errors

if TYPE_CHECKING:
    from collections.abc import Mapping

    from obstore.store import ClientConfig, ObjectStore, RetryConfig

    from state_manager.config import Settings
    from workers.files.location import Location

_TEXT = {"type": "string", "minLength": 1}

CONNECTION = ("endpoint", "region", "anonymous")
"""Settings of access that a reference includes, so that its readers need no configuration. None is a secret."""

ACCESS_SCHEMA: dict[str, Any] = {
    "endpoint": {**_TEXT, "description": "URL of an S3-compatible service; default: AWS"},
    "region": {**_TEXT, "description": "region of the bucket; default: AWS_REGION, else us-east-1"},
    "anonymous": {"type": "boolean", "description": "whether requests are sent without credentials"},
    "access_key_id": {**_TEXT, "description": "S3: default AWS_ACCESS_KEY_ID"},
    "secret_access_key": {**_TEXT, "description": "S3: default AWS_SECRET_ACCESS_KEY"},
    "session_token": {**_TEXT, "description": "S3: default AWS_SESSION_TOKEN"},
    "service_account_key": {**_TEXT, "description": "Google: the JSON key of a service account"},
    "account_name": {**_TEXT, "description": "Azure: default AZURE_STORAGE_ACCOUNT_NAME"},
    "account_key": {**_TEXT, "description": "Azure: default AZURE_STORAGE_ACCOUNT_KEY"},
    "sas_token": {**_TEXT, "description": "Azure: a shared access signature"},
}
"""Properties of a configuration that give access to a store."""

# obstore repeats throttled and failed requests itself, for less long than a user would wait for a clear error: the
# retry policy of the satellite goes on from there.
RETRIES: RetryConfig = {
    "max_retries": 3,
    "backoff": {"init_backoff": timedelta(milliseconds=100), "max_backoff": timedelta(seconds=2), "base": 2},
    "retry_timeout": timedelta(seconds=20),
}
# Plain HTTP is used only where an endpoint says so.
CLIENT: ClientConfig = {"allow_http": True, "connect_timeout": "5s", "timeout": "60s"}


def open_store(location: Location, access: Mapping[str, Any]) -> ObjectStore:
    """Open the store of a location; ConfigurationError where that is not possible or not allowed.

    What `access` leaves open comes from the worker's environment: obstore reads AWS_*, GOOGLE_* and AZURE_* itself.
    """
    if location.is_local:
        _check_allowed(location.path)
        return LocalStore("/", mkdir=False)
    with store_errors(location.uri):
        return {"s3": _s3, "gs": _google, "az": _azure}[location.scheme](location.bucket, access)


def allowed_folders(configured: Settings) -> tuple[Path, ...]:
    """Return the folders whose files clusters may name: unless they are set, all of them, in production none."""
    if configured.local_folders is None:
        return () if configured.environment == "production" else (Path("/"),)
    return configured.local_folders


def connection(access: Mapping[str, Any]) -> dict[str, Any]:
    """Return the part of a configuration that a reference carries."""
    return {name: access[name] for name in CONNECTION if access.get(name)}


def _s3(bucket: str, access: Mapping[str, Any]) -> ObjectStore:
    if endpoint := access.get("endpoint"):
        _check_endpoint(endpoint)
    given = {
        "endpoint": endpoint,
        "region": access.get("region"),
        "skip_signature": access.get("anonymous") or None,
        "access_key_id": access.get("access_key_id"),
        "secret_access_key": access.get("secret_access_key"),
        "session_token": access.get("session_token"),
    }
    return S3Store(bucket, client_options=CLIENT, retry_config=RETRIES, **_set(given))


def _google(bucket: str, access: Mapping[str, Any]) -> ObjectStore:
    key = access.get("service_account_key")
    if key is not None:
        try:
            json.loads(key)
        except ValueError:
            raise ConfigurationError("service_account_key is not the JSON of a service account's key") from None
    given = {"service_account_key": key, "skip_signature": access.get("anonymous") or None}
    return GCSStore(bucket, retry_config=RETRIES, **_set(given))


def _azure(container: str, access: Mapping[str, Any]) -> ObjectStore:
    given = {
        "account_name": access.get("account_name"),
        "account_key": access.get("account_key"),
        "sas_key": access.get("sas_token"),
        "skip_signature": access.get("anonymous") or None,
    }
    return AzureStore(container, retry_config=RETRIES, **_set(given))


def _set(given: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in given.items() if value is not None}


def _check_endpoint(endpoint: str) -> None:
    """Refuse what is no plain http or https URL: obstore would panic at the first request."""
    try:
        parts = urlsplit(endpoint)
        usable = parts.scheme in {"http", "https"} and parts.hostname and parts.port != 0 and parts.username is None
    except ValueError:
        usable = False
    if not usable or not endpoint.isascii() or not endpoint.isprintable() or " " in endpoint:
        raise ConfigurationError(f"the endpoint {redacted(endpoint)!r} is not a URL of http or https, without a user")


def _check_allowed(path: Path) -> None:
    """Refuse a path that leaves the allowed folders, also by a symbolic link."""
    allowed = allowed_folders(settings())
    if not any(path.resolve().is_relative_to(folder.resolve()) for folder in allowed):
        folders = ", ".join(map(str, allowed)) or "none"
        raise ConfigurationError(
            f"{path.as_uri()} is not in a folder whose files may be used here (LOCAL_FOLDERS: {folders})"
        )
