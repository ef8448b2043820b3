"""The files that deploy the parts agree with the settings and with each other."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from state_manager.config import table

ROOT = Path(__file__).parents[2]
SERVICES: dict[str, dict[str, Any]] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]
OF_OTHERS = {"postgres", "redis"}
PROCFILE = dict(line.split(": ", 1) for line in (ROOT / "Procfile").read_text().splitlines())


@pytest.mark.parametrize("name", sorted(SERVICES.keys() - OF_OTHERS))
def test_our_services_are_built_and_never_pulled(name: str) -> None:
    assert SERVICES[name]["build"] == "."
    assert "image" not in SERVICES[name]


@pytest.mark.parametrize("name", sorted(SERVICES.keys() - OF_OTHERS))
def test_our_services_are_given_settings(name: str) -> None:
    assert SERVICES[name]["environment"].keys() <= {declared.env for _, declared in table()}


@pytest.mark.parametrize("part", ["worker", "beat", "flower"])
def test_compose_and_procfile_run_the_same_commands(part: str) -> None:
    assert SERVICES[part]["command"].replace("0.0.0.0", "127.0.0.1") == PROCFILE[part]  # noqa: S104 - in a container


def test_the_api_is_the_same_application_everywhere() -> None:
    application = "api.app:create_app()"
    assert application in PROCFILE["web"]
    assert application in (ROOT / "Dockerfile").read_text()


def test_migration_is_the_same_everywhere() -> None:
    assert PROCFILE["release"] == SERVICES["migrate"]["command"]


@pytest.mark.parametrize("part", PROCFILE)
def test_commands_of_the_procfile_are_in_the_environment(part: str) -> None:
    assert shutil.which(PROCFILE[part].split()[0], path=str(Path(sys.executable).parent))
