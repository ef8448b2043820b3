"""The example of a person's approval, as its own file has it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
import yaml

from tests.processes import ROOT
from tests.system import System, fresh_system
from tests.waiting import until

if TYPE_CHECKING:
    from collections.abc import Iterator

CLUSTER: dict[str, Any] = yaml.safe_load((ROOT / "examples/approval.yaml").read_text())


@pytest.fixture(scope="module")
def system(postgres: str, template: str) -> Iterator[System]:
    with fresh_system(postgres, template, SATELLITE_MODULES="examples.approval") as system:
        system.start_everything()
        yield system


def decide(system: System, decision: dict[str, Any]) -> dict[str, Any]:
    """Submit it, wait until the report is there and the approval is waited for, and decide."""
    execution_id = system.submit(*CLUSTER["satellites"], identifier=CLUSTER["identifier"])
    until(lambda: system.satellite(execution_id, "approval")["not_before"], what="it waits for the approval")
    _, kept = system.call("GET", f"/executions/{execution_id}/artifacts")
    assert [(one["satellite"], one["name"]) for one in kept["items"]] == [("report", "report.md")]
    system.call("POST", f"/executions/{execution_id}/signals/decision", {"payload": decision})
    return system.wait(execution_id)


def test_approved_report_is_published(system: System) -> None:
    execution = decide(system, {"approved": True, "by": "Ada"})
    published = execution["results"]["publish"]
    assert published["approved_by"] == "Ada"
    assert published["published"].count("\n## ") == 3
    (report,) = [one for one in execution["satellites"] if one["name"] == "report"]
    assert report["attempt"] == 1


def test_report_that_is_not_approved_is_not_published(system: System) -> None:
    execution = decide(system, {"approved": False})
    assert execution["status"] == "completed"
    assert {one["name"]: (one["status"], one["reason"]) for one in execution["satellites"]}["publish"] == (
        "skipped",
        "if",
    )
