"""Every setting, declared once; the only module that reads `os.environ`.

The body of `Settings` is the table: loading, the README's table (`settings_table`) and the tests derive from it.
"""

from __future__ import annotations

import logging
import os
from dataclasses import dataclass, fields, replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dotenv import dotenv_values

from state_manager.config_checks import contradictions
from state_manager.config_file import CONFIG_FILE, read_config_file
from state_manager.config_satellites import SatelliteSettings
from state_manager.errors import ConfigurationFault
from state_manager.secrets.keys import MasterKeys, parse_keys
from state_manager.setting import (
    Setting,
    as_text,
    boolean,
    children,
    folder,
    folders,
    modules,
    names,
    one_of,
    seconds,
    setting,
    uri,
    whole,
)
from state_manager.unknown_settings import unknown_names, unknown_variables, unread_conventional_names

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

NOT_SETTINGS = frozenset({CONFIG_FILE, "EXOSPHERE_STATE_MANAGER_URI", "EXOSPHERE_API_KEY", "EXOSPHERE_PART_OF"})
"""Known variables that are not settings: the file's path, those of the client, and the one that `local` sets."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Settings(SatelliteSettings):
    """The configuration, read once and passed in."""

    database_uri: str | None = setting(
        "DATABASE_URI",
        "storage.database.uri",
        None,
        uri("postgresql", aliases=("postgresql+psycopg", "postgres")),
        "URI of PostgreSQL; if unset, `run.py` starts its own",
    )
    database_direct_uri: str | None = setting(
        "DATABASE_DIRECT_URI",
        "storage.database.direct_uri",
        None,
        uri("postgresql", aliases=("postgresql+psycopg", "postgres")),
        "URI of the same PostgreSQL past the pooler of `DATABASE_URI`, so that a lost worker is noticed at once",
    )
    redis_uri: str | None = setting(
        "REDIS_URI",
        "storage.redis.uri",
        None,
        uri("redis", "rediss"),
        "URI of Redis or Valkey; if unset, `run.py` starts its own",
    )
    environment: str = setting(
        "ENVIRONMENT",
        "environment",
        "development",
        one_of("development", "test", "production"),
        "`development`, `test` or `production`, which requires `DATABASE_URI` and `REDIS_URI`",
    )
    log_level: str = setting(
        "LOG_LEVEL",
        "monitoring.log_level",
        "info",
        one_of("debug", "info", "warning", "error"),
        "lowest level that is logged: `debug`, `info`, `warning` or `error`",
    )
    host: str = setting("HOST", "server.host", "127.0.0.1", str, "address that the API listens on")
    port: int = setting("PORT", "server.port", "8001", whole(1, 65535), "port that the API listens on")
    home: Path = setting(  # noqa: RUF009 - a Path is immutable
        "EXOSPHERE_HOME",
        "storage.home",
        ".exosphere",
        folder,
        "directory of the embedded PostgreSQL's and Valkey's data, and of artifacts",
    )
    artifacts_uri: str | None = setting(
        "ARTIFACTS_URI",
        "storage.artifacts.uri",
        None,
        uri("file", "s3", "gs", "az"),
        "where artifacts are kept, the same place for the API and all workers: `file:///…`, `s3://BUCKET/…`, `gs://…` "
        "or `az://…`; if unset, `artifacts` in `EXOSPHERE_HOME`",
    )
    max_concurrent_executions: int = setting(
        "MAX_CONCURRENT_EXECUTIONS",
        "execution.max_concurrent",
        "100",
        whole(1),
        "executions that run at the same time; others wait",
    )
    retry_attempts: int = setting(
        "RETRY_ATTEMPTS",
        "execution.retry_policy.max_attempts",
        "3",
        whole(1, 101),
        "default attempts of a satellite; 3 is one run and two retries",
    )
    retry_delay_s: float = setting(
        "RETRY_DELAY",
        "execution.retry_policy.base_delay",
        "5",
        seconds(0),
        "base of the backoff between attempts, seconds",
    )
    retry_backoff_strategy: str = setting(
        "RETRY_BACKOFF_STRATEGY",
        "execution.retry_policy.backoff_strategy",
        "exponential",
        one_of("fixed", "linear", "exponential"),
        "growth of the backoff: `fixed`, `linear` or `exponential`",
    )
    execution_timeout_s: float = setting(
        "EXECUTION_TIMEOUT",
        "execution.timeout_seconds",
        "3600",
        seconds(0.001),
        "timeout of an execution, seconds from its admission",
    )
    cleanup_interval_s: float = setting(
        "CLEANUP_INTERVAL", "execution.cleanup_interval", "300", seconds(1), "interval of clean-ups, seconds"
    )
    metrics_enabled: bool = setting(
        "METRICS_ENABLED", "monitoring.metrics_enabled", "true", boolean, "whether metrics are collected"
    )
    lease_s: float = setting(
        "LEASE_SECONDS",
        "execution.lease_seconds",
        "15",
        seconds(0.1),
        "lease of a running satellite, which its worker renews, seconds",
    )
    reconcile_interval_s: float = setting(
        "RECONCILE_INTERVAL",
        "execution.reconcile_interval",
        "1",
        seconds(0.01),
        "interval of the reconciler, seconds",
    )
    time_slice_ms: int = setting(
        "TIME_SLICE_MS",
        "execution.time_slice_ms",
        "100",
        whole(0),
        "time that a worker runs newly ready satellites directly, before it uses the broker again, milliseconds",
    )
    satellite_modules: tuple[str, ...] = setting(
        "SATELLITE_MODULES",
        "workers.satellite_modules",
        "",
        modules,
        "importable modules with satellites, separated by commas",
    )
    allowed_queues: tuple[str, ...] = setting(
        "ALLOWED_QUEUES",
        "execution.allowed_queues",
        "",
        names,
        "queues that clusters may name before a worker has consumed them, separated by commas",
    )
    local_folders: tuple[Path, ...] | None = setting(
        "LOCAL_FOLDERS",
        "workers.local_folders",
        None,
        folders,
        "folders that `file://` may name; default: all, in production none",
    )
    worker_concurrency: int = setting(
        "WORKER_CONCURRENCY",
        "workers.concurrency",
        "cores",
        children,
        "child processes of a worker; `cores` is one per core",
    )
    redis_pool_size: int = setting(
        "REDIS_POOL_SIZE", "storage.redis.pool_size", "10", whole(1), "most connections to Redis of a process"
    )
    database_pool_size: int = setting(
        "DATABASE_POOL_SIZE",
        "storage.database.pool_size",
        "20",
        whole(1),
        "most connections to PostgreSQL of a process",
    )
    health_check_interval_s: float = setting(
        "HEALTH_CHECK_INTERVAL",
        "monitoring.health_check_interval",
        "30",
        seconds(0.1),
        "interval of checks of the dependencies, seconds",
    )
    secrets_key: MasterKeys | None = setting(  # noqa: RUF009 - frozen
        "SECRETS_KEY",
        "secrets.key",
        None,
        parse_keys,
        "master key of the secrets, 32 random bytes in base64; several by commas, newest first; `run.py` makes one",
    )
    secrets_key_file: Path | None = setting(  # noqa: RUF009 - as `home`
        "SECRETS_KEY_FILE", "secrets.key_file", None, folder, "file with the same, in place of `SECRETS_KEY`"
    )
    failpoints: tuple[str, ...] = setting(
        "FAILPOINTS", "failpoints", "", names, "for tests: points at which a process kills, stops or delays itself"
    )

    def environ(self) -> dict[str, str]:
        """Return the environment variables from which another process loads the same settings."""
        ours = {declared.env: as_text(getattr(self, name)) for name, declared in table()}
        return {**os.environ, **ours, CONFIG_FILE: os.devnull}


def table() -> Iterator[tuple[str, Setting[Any]]]:
    """List the settings: the name of the field, and its declaration. Those that are inherited come last."""
    inherited = {one.name for one in fields(SatelliteSettings)}
    ordered = sorted(fields(Settings), key=lambda one: one.name in inherited)
    return ((one.name, one.metadata["setting"]) for one in ordered)


def load_settings(environ: Mapping[str, str] | None = None, directory: Path | None = None) -> Settings:
    """Read the environment, over `.env`, over the YAML file, over the defaults; an empty value counts as unset.

    Raises `ConfigurationFault` with every fault at once.
    """
    environ = os.environ if environ is None else environ
    directory = (directory or Path.cwd()).absolute()
    dotenv = dotenv_values(directory / ".env", interpolate=False)
    given = {name: text for name, text in (*dotenv.items(), *environ.items()) if text}
    known = NOT_SETTINGS | {declared.env for _, declared in table()}
    faults = list(unknown_variables(environ, dotenv, known, directory))
    in_file: dict[str, str] = {}
    try:
        in_file = read_config_file(directory, given.get(CONFIG_FILE))
    except ValueError as fault:
        faults.append(str(fault))
    faults += unknown_names(in_file, {declared.path for _, declared in table()})
    loaded = _within(directory, parse_settings(given, in_file, faults))
    faults += contradictions(loaded)
    if faults:
        raise ConfigurationFault(faults)
    for warning in unread_conventional_names(environ, given):
        _log.warning(warning)
    return loaded


def _within(directory: Path, parsed: Settings) -> Settings:
    """Make the paths absolute."""
    paths = {name: getattr(parsed, name) for name in ("home", "secrets_key_file")}
    return replace(parsed, **{name: (directory / path).resolve() for name, path in paths.items() if path})


def parse_settings(given: Mapping[str, str], in_file: Mapping[str, str], faults: list[str]) -> Settings:
    """Parse the texts by variable and by path in the file, and add what is wrong with them to `faults`."""
    values: dict[str, Any] = {}
    for name, declared in table():
        source = declared.env if declared.env in given else declared.path
        if text := given.get(declared.env) or in_file.get(declared.path):
            try:
                values[name] = declared.parse(text)
            except ValueError as fault:
                faults.append(f"{source}: {fault}")
    return replace(Settings(), **values)


@cache
def settings() -> Settings:
    """Return this process's settings, read at the first call."""
    return load_settings()
