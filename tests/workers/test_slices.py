"""A time slice releases what waits behind a satellite that takes long, and nothing that others hold."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

import pytest
from sqlalchemy import text

from tests.system import System, fresh_system
from tests.waiting import until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

WAIT = "satellite/test/wait"
LEASE_S = 1


@pytest.fixture(params=["threads", "prefork"])
def system(request: pytest.FixtureRequest, postgres: str, template: str, tmp_path: Path) -> Iterator[System]:
    """Yield a system whose worker has run one satellite of type `wait` at a time, and knows it to be short."""
    with fresh_system(postgres, template, LEASE_SECONDS=str(LEASE_S), TIME_SLICE_MS="300") as system:
        system.start_worker("-P", request.param, "-c", "2")
        system.start_beat()
        system.start_api()
        (tmp_path / "there").touch()
        short = {"uses": WAIT, "config": {"file": str(tmp_path / "there")}}
        before = [{"name": f"s{at}", **short, "dependencies": [f"s{at - 1}"] if at else []} for at in range(8)]
        for _ in range(4):  # enough for each child
            system.wait(system.submit(*before))
        yield system


def test_those_behind_a_long_satellite_start_meanwhile_and_keep_their_leases(system: System, tmp_path: Path) -> None:
    """The second is claimed with the first, released while the first runs, and outlasts it by several leases."""
    names = ("first", "second")
    execution_id = system.submit(
        {"name": "split", "uses": WAIT, "config": {"file": str(tmp_path / "there")}},
        *(
            {"name": name, "uses": WAIT, "config": {"file": str(tmp_path / name)}, "dependencies": ["split"]}
            for name in names
        ),
    )
    satellites = {one["name"]: one["satellite_id"] for one in system.execution(execution_id)["satellites"]}

    def kinds() -> list[str]:
        _, events = system.call("GET", f"/executions/{execution_id}/events")
        return [event["kind"] for event in events["items"] if event["satellite_id"] == satellites["second"]]

    until(lambda: kinds() == ["started", "released", "started"], what="the second starts again elsewhere")
    (tmp_path / "first").touch()
    until(lambda: system.statuses(execution_id)["first"] == "completed")
    ended = system.satellite(execution_id, "first")["end_time"]
    until(lambda: renewed_until(system, satellites["second"]) > seconds(ended) + 3 * LEASE_S, within_s=10)
    (tmp_path / "second").touch()
    execution = system.wait(execution_id)

    assert execution["status"] == "completed"
    assert kinds() == ["started", "released", "started", "completed"]
    assert system.satellite(execution_id, "second")["output"]["attempt"] == 1


def renewed_until(system: System, satellite_id: str) -> float:
    """Return when the lease of a running satellite ends, in seconds since 1970; 0 where it does not run."""
    with system.engine.connect() as connection:
        found = connection.execute(
            text("SELECT extract(epoch FROM lease_expires_at) FROM satellites WHERE id = :id AND status = 'running'"),
            {"id": satellite_id},
        ).scalar()
    return float(found or 0)


def seconds(time: str) -> float:
    return datetime.fromisoformat(time).timestamp()
