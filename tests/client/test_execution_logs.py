"""The logs of an execution's satellites, merged by time."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from exospherehost.state_manager import LogLine, Satellite
from exospherehost.state_manager.execution_logs import merge_logs

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

LOGS = {
    "early": ["05:00:01", "05:00:02", "05:00:05.250000", "05:02:07.500000"],
    "middle": ["05:00:02.500000", "05:00:05"],
    "retried": ["05:00:00.500000", "05:02:10"],
    "silent": [],
    "late": ["05:02:07"],
}
STARTS = {"early": "05:00:01", "middle": "05:00:02", "retried": "05:02:10", "silent": "05:00:01", "late": "05:02:08"}


def at(clock_time: str) -> str:
    return f"2026-11-24T{clock_time}Z"


def satellites() -> list[Satellite]:
    started = [
        Satellite(satellite_id=f"id-of-{name}", name=name, attempt=1 + (name == "retried"), start_time=at(start))
        for name, start in STARTS.items()
    ]
    return [*started, Satellite(satellite_id="id-of-pending", name="pending", attempt=0, start_time=None)]


class Logs:
    """Serves each satellite's lines, and notes whose were read."""

    def __init__(self) -> None:
        self.read: list[str] = []

    async def __call__(self, satellite_id: str) -> AsyncIterator[LogLine]:
        name = satellite_id.removeprefix("id-of-")
        self.read.append(name)
        for time in LOGS[name]:
            yield LogLine(at=at(time), attempt=1, level="info", message=f"{name} {time}")


def merged(logs: Logs, count: int | None = None) -> list[LogLine]:
    async def read() -> list[LogLine]:
        lines: list[LogLine] = []
        async for line in merge_logs(satellites(), logs):
            lines.append(line)
            if len(lines) == count:
                break
        return lines

    return asyncio.run(read())


def test_lines_come_by_time_with_the_satellites_name_and_id() -> None:
    lines = merged(Logs())

    assert [line.message for line in lines] == [
        "retried 05:00:00.500000", "early 05:00:01", "early 05:00:02", "middle 05:00:02.500000", "middle 05:00:05",
        "early 05:00:05.250000", "late 05:02:07",
        "early 05:02:07.500000", "retried 05:02:10",
    ]  # fmt: skip
    assert [(line.name, line.satellite_id) for line in lines[:2]] == [
        ("retried", "id-of-retried"), ("early", "id-of-early"),
    ]  # fmt: skip


def test_logs_of_a_satellite_are_read_when_the_merge_comes_near_its_start() -> None:
    logs = Logs()
    merged(logs, count=6)

    assert set(logs.read) == {"retried", "early", "silent", "middle"}
