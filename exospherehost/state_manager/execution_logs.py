"""The logs of an execution: those of its satellites, merged by time."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from heapq import heapify, heappop, heappush
from typing import TYPE_CHECKING

from exospherehost.state_manager.models import LogLine

if TYPE_CHECKING:
    from collections.abc import AsyncIterable, AsyncIterator, Callable, Iterable

    from exospherehost.state_manager.models import Satellite

LONG_AGO = datetime.min.replace(tzinfo=UTC)
CLOCK_TOLERANCE = timedelta(minutes=1)
"""Start times come from the database's clock, those of log lines from the workers'."""


async def merge_logs(
    satellites: Iterable[Satellite], read_logs: Callable[[str], AsyncIterable[LogLine]]
) -> AsyncIterator[LogLine]:
    """Yield the log lines of all satellites, oldest first, each with its satellite's id and name.

    A satellite's logs are first read when the merge comes near its start: the first line waits for few requests.
    """
    started = [one for one in satellites if one.attempt > 0]
    readers = [aiter(read_logs(one.satellite_id)) for one in started]
    queue: list[tuple[datetime, int, LogLine | None]] = [(_earliest(one), at, None) for at, one in enumerate(started)]
    heapify(queue)
    while queue:
        _, at, line = heappop(queue)
        if line is not None:
            yield LogLine({**line, "satellite_id": started[at].satellite_id, "name": started[at].name})
        following = await anext(readers[at], None)
        if following is not None:
            heappush(queue, (datetime.fromisoformat(following.at), at, following))


def _earliest(satellite: Satellite) -> datetime:
    """Return a time before all log lines of a satellite; `start_time` is that of the latest attempt."""
    if satellite.attempt > 1 or satellite.start_time is None:
        return LONG_AGO
    return datetime.fromisoformat(satellite.start_time) - CLOCK_TOLERANCE
