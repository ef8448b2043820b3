"""Settings come from the environment, `.env`, the YAML file and the defaults, and every fault is named."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from state_manager.config import Settings, load_settings, table
from state_manager.errors import ConfigurationFault
from state_manager.setting import redacted
from state_manager.settings_table import readme_table

if TYPE_CHECKING:
    from collections.abc import Mapping

ROOT = Path(__file__).parents[2]
URIS = {"DATABASE_URI": "postgresql://db/exosphere", "REDIS_URI": "redis://cache:6379"}


def faults(directory: Path, environ: Mapping[str, str] | None = None) -> tuple[str, ...]:
    with pytest.raises(ConfigurationFault) as caught:
        load_settings(environ or {}, directory)
    return caught.value.faults


def test_without_any_configuration_the_defaults_hold(tmp_path: Path) -> None:
    assert load_settings({}, tmp_path) == replace(Settings(), home=tmp_path / ".exosphere")


def test_environment_wins_over_dotenv_over_file_over_default(tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text(
        "state_manager: {server: {host: file, port: 1}, execution: {max_concurrent: 7, time_slice_ms: 20}}"
    )
    (tmp_path / ".env").write_text("HOST=dotenv\nMAX_CONCURRENT_EXECUTIONS=8\n")
    loaded = load_settings({"HOST": "environment"}, tmp_path)
    assert (loaded.host, loaded.max_concurrent_executions, loaded.port, loaded.time_slice_ms, loaded.max_edges) == (
        "environment",
        8,
        1,
        20,
        100_000,
    )


@pytest.mark.parametrize(("example", "name"), [("config.example.yaml", "config.yaml"), (".env.example", ".env")])
def test_copied_example_holds_the_defaults(tmp_path: Path, example: str, name: str) -> None:
    (tmp_path / name).write_text((ROOT / example).read_text())
    assert load_settings({}, tmp_path) == replace(Settings(), home=tmp_path / ".exosphere")


@pytest.mark.parametrize(("example", "mark"), [("config.example.yaml", "# "), (".env.example", "#")])
def test_lines_commented_out_in_an_example_are_settings(tmp_path: Path, example: str, mark: str) -> None:
    text = (ROOT / example).read_text()
    for line in ("uri: redis:", "uri: postgresql:", "DATABASE_URI=", "REDIS_URI=", "SATELLITE_MODULES="):
        text = text.replace(f"{mark}{line}", line)
    (tmp_path / ("config.yaml" if example.endswith("yaml") else ".env")).write_text(text)
    loaded = load_settings({}, tmp_path)
    assert (loaded.database_uri, loaded.redis_uri) == (
        "postgresql://user:password@localhost:5432/exosphere",
        "redis://localhost:6379",
    )


def test_missing_config_file_is_a_fault(tmp_path: Path) -> None:
    assert "CONFIG_FILE" in faults(tmp_path, {"CONFIG_FILE": "absent.yaml"})[0]


@pytest.mark.parametrize("text", ["- a list", "{unclosed: ", "just text"])
def test_file_that_is_no_mapping_is_a_fault(tmp_path: Path, text: str) -> None:
    (tmp_path / "config.yaml").write_text(text)
    assert "CONFIG_FILE" in faults(tmp_path)[0]


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("PORT", "eighty"),
        ("PORT", "65536"),
        ("PORT", "80.5"),
        ("RETRY_ATTEMPTS", "0"),
        ("RETRY_DELAY", "-1"),
        ("LEASE_SECONDS", "nan"),
        ("EXECUTION_TIMEOUT", "inf"),
        ("METRICS_ENABLED", "maybe"),
        ("LOG_LEVEL", "loud"),
        ("ENVIRONMENT", "staging"),
        ("RETRY_BACKOFF_STRATEGY", "quadratic"),
        ("SATELLITE_MODULES", "fine,not a module"),
        ("DATABASE_URI", "mysql://localhost/exosphere"),
        ("REDIS_URI", "localhost:6379"),
    ],
)
def test_wrong_value_is_named(tmp_path: Path, name: str, text: str) -> None:
    assert [fault.partition(":")[0] for fault in faults(tmp_path, {name: text})] == [name]


def test_every_fault_is_listed_at_once(tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text("state_manager: {execution: {max_concurent: 5, timeout_seconds: soon}}")
    (tmp_path / ".env").write_text("RETRY_ATEMPTS=3\n")
    assert faults(tmp_path, {"PORT": "x", "EXOSPHERE_HOEM": "/tmp"}) == (
        "EXOSPHERE_HOEM: unknown setting; did you mean EXOSPHERE_HOME?",
        "RETRY_ATEMPTS: unknown setting; did you mean RETRY_ATTEMPTS?",
        "state_manager.execution.max_concurent: unknown setting; did you mean state_manager.execution.max_concurrent?",
        "PORT: 'x' is not a whole number",
        "state_manager.execution.timeout_seconds: 'soon' is not a number of seconds",
    )


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("MAX_CONCURENT_EXECUTIONS", "MAX_CONCURRENT_EXECUTIONS"),
        ("RETRY_ATEMPTS", "RETRY_ATTEMPTS"),
        ("LOG_LEVL", "LOG_LEVEL"),
        ("SATELLITES_MODULES", "SATELLITE_MODULES"),
        ("lease_seconds", "LEASE_SECONDS"),
    ],
)
def test_misspelled_setting_in_the_environment_is_a_fault(tmp_path: Path, name: str, meant: str) -> None:
    assert faults(tmp_path, {name: "5"}) == (f"{name}: unknown setting; did you mean {meant}?",)


def test_names_of_others_in_the_environment_are_left_alone(tmp_path: Path) -> None:
    shell = ("PATH", "HOME", "TERM", "USER", "LANG", "SHELL", "HOSTNAME", "NODE_ENV", "PGHOST", "LOG_FILE", "TIMEOUT")
    near = ("host", "port", "HOSTS", "PORTS", "SERVER_PORT", "REDIS_PORT", "REDIS_HOST", "DATABASE_NAME", "MAX_WORKERS")
    known = ("EXOSPHERE_API_KEY", "EXOSPHERE_STATE_MANAGER_URI", "POSTGRES_PASSWORD")
    load_settings(dict.fromkeys((*shell, *near, *known), "x"), tmp_path)


def test_conventional_name_is_warned_about_where_ours_is_not_set(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    load_settings({"DATABASE_URL": "postgresql://elsewhere", **URIS}, tmp_path)
    assert caplog.messages == []
    load_settings({"DATABASE_URL": "postgresql://user:hunter2@elsewhere"}, tmp_path)
    assert caplog.messages == ["DATABASE_URL is set, but not read: the setting is called DATABASE_URI, and is not set"]


def test_dotenv_may_hold_the_variables_of_docker_compose(tmp_path: Path) -> None:
    (tmp_path / "docker-compose.yml").write_text((ROOT / "docker-compose.yml").read_text())
    (tmp_path / "docker-compose.override.yml").write_text("services: {postgres: {image: 'postgres:$MY_TAG'}}")
    (tmp_path / ".env").write_text("POSTGRES_PASSWORD=secret\nMY_TAG=17\nCOMPOSE_PROJECT_NAME=x\nPORT=9\n")
    assert load_settings({}, tmp_path).port == 9


def test_dotenv_without_a_compose_file_holds_settings_alone(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("POSTGRES_PASSWORD=secret\n")
    assert faults(tmp_path) == ("POSTGRES_PASSWORD: unknown setting",)


def test_production_demands_a_database_and_redis(tmp_path: Path) -> None:
    named = [fault.partition(":")[0] for fault in faults(tmp_path, {"ENVIRONMENT": "production"})]
    assert named == ["DATABASE_URI", "REDIS_URI"]
    assert load_settings({"ENVIRONMENT": "production", **URIS}, tmp_path).environment == "production"


@pytest.mark.parametrize("scheme", ["postgres", "postgresql", "postgresql+psycopg"])
def test_database_uri_comes_out_in_one_form(tmp_path: Path, scheme: str) -> None:
    loaded = load_settings({"DATABASE_URI": f"{scheme}://u:p@db/exosphere"}, tmp_path)
    assert loaded.database_uri == "postgresql://u:p@db/exosphere"


def test_empty_value_counts_as_unset(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("PORT=9\nREDIS_URI=\n")
    loaded = load_settings({"PORT": ""}, tmp_path)
    assert (loaded.port, loaded.redis_uri) == (9, None)


def test_level_is_read_in_any_case(tmp_path: Path) -> None:
    assert load_settings({"LOG_LEVEL": "WARNING"}, tmp_path).log_level == "warning"


def test_relative_home_lies_in_the_directory(tmp_path: Path) -> None:
    assert load_settings({"EXOSPHERE_HOME": "data"}, tmp_path).home == tmp_path / "data"


def test_passwords_stay_out_of_messages(tmp_path: Path) -> None:
    (fault,) = faults(tmp_path, {"DATABASE_URI": "mysql://user:hunter2@db/x"})
    assert "hunter2" not in fault
    assert redacted("redis://:p@ss@cache:6379/0") == "redis://:***@cache:6379/0"
    assert redacted("postgresql:///x?user=u&password=hunter2&host=h") == "postgresql:///x?user=u&password=***&host=h"
    assert redacted("redis://cache:6379") == "redis://cache:6379"


def test_another_process_loads_the_same_settings(tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text("state_manager: {workers: {satellite_modules: [one, two.three]}}")
    (tmp_path / ".env").write_text("METRICS_ENABLED=no\nRETRY_DELAY=0.5\n")
    loaded = load_settings(URIS, tmp_path)
    assert loaded.satellite_modules == ("one", "two.three")
    assert load_settings(loaded.environ(), tmp_path) == loaded


@pytest.mark.parametrize("name", [declared.env for _, declared in table()])
def test_every_setting_has_a_row_and_a_place_in_the_file(name: str) -> None:
    assert readme_table().count(f"| `{name}` |") == 1


def test_no_two_settings_share_a_name_or_a_place() -> None:
    declared = [one for _, one in table()]
    assert len({one.env for one in declared}) == len({one.path for one in declared}) == len(declared)
