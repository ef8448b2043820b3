"""A feed keeps the latest entries for all watchers, each of whom reads on from a cursor of its own."""

from __future__ import annotations

from datetime import UTC, datetime
from threading import Event
from typing import TYPE_CHECKING, Any
from uuid import UUID, uuid4

import pytest

from api.live import feed as feeds
from api.live.feed import Feed, TooSlow
from state_manager.progress import Progress
from state_manager.store import events
from tests.live.frames import messages_in

if TYPE_CHECKING:
    from api.live.entries import Batch

NOW = datetime(2026, 11, 24, tzinfo=UTC)
EXECUTION = uuid4()
SATELLITES = [uuid4() for _ in range(4)]


def event(seq: int, kind: str, satellite: UUID | None = None, **data: Any) -> events.Event:
    status = {"started": "running", "retried": "pending"}.get(kind, kind)
    return events.Event(EXECUTION, seq, satellite, kind, status, NOW, data or None, name=None)


def started_at(seq: int = 2) -> Feed:
    return Feed(EXECUTION, Progress(seq, 0, len(SATELLITES)))


def messages(batch: Batch | None) -> list[dict[str, Any]]:
    assert batch is not None
    return messages_in(batch.data)


def seqs(batch: Batch | None) -> list[int]:
    return [one["seq"] for message in messages(batch) for one in message.get("events", [message])]


def test_watcher_reads_on_from_its_cursor() -> None:
    feed = started_at(2)
    assert feed.read(0) is None
    feed.extend([event(3, "started", SATELLITES[0]), event(4, "completed", SATELLITES[0])])
    first = feed.read(0)
    assert first is not None
    assert seqs(first) == [3, 4]
    assert feed.read(first.cursor) is None
    feed.extend([event(5, "started", SATELLITES[1])])
    assert seqs(feed.read(first.cursor)) == [5]


def test_those_who_read_the_same_get_the_very_same_bytes() -> None:
    feed = started_at(2)
    feed.extend([event(3, "started", SATELLITES[0])])
    one, other = feed.read(0), feed.read(0)
    assert one is other
    feed.extend([event(4, "completed", SATELLITES[0])])
    assert seqs(feed.read(0)) == [3, 4]


def test_percentage_follows_what_ended_and_what_came_back() -> None:
    feed = started_at(2)
    kinds = ["started", "completed", "failed", "skipped", "cancelled", "retried", "released", "retrying"]
    feed.extend([event(3 + at, kind, SATELLITES[0]) for at, kind in enumerate(kinds)])
    (message,) = messages(feed.read(0))
    assert [one["progress"] for one in message["events"]] == [0, 25, 50, 75, 100, 75, 75, 75]


def test_retry_of_the_execution_is_no_satellite_that_came_back() -> None:
    feed = Feed(EXECUTION, Progress(5, 4, 4))
    feed.extend([event(6, "retried"), event(7, "retried", SATELLITES[0])])
    (message,) = messages(feed.read(0))
    assert [one["progress"] for one in message["events"]] == [100, 75]


def test_batch_ends_with_what_ends_the_execution_though_more_follow() -> None:
    feed = started_at(2)
    feed.extend([event(3, "completed", SATELLITES[0]), event(4, "failed"), event(5, "retried")])
    last = feed.read(0)
    assert last is not None
    assert (seqs(last), last.end) == ([3, 4], 4)


def test_satellite_is_read_alone_and_ends_with_itself_or_its_execution() -> None:
    feed = started_at(2)
    feed.extend([event(3, "started", SATELLITES[0]), event(4, "started", SATELLITES[1])])
    first = feed.read(0, str(SATELLITES[1]))
    assert first is not None
    assert (seqs(first), first.end) == ([4], 0)
    feed.extend([event(5, "completed", SATELLITES[0])])
    nothing = feed.read(first.cursor, str(SATELLITES[1]))
    assert nothing is not None
    assert (nothing.data, nothing.end) == (b"", 0)
    feed.extend([event(6, "completed", SATELLITES[1])])
    last = feed.read(nothing.cursor, str(SATELLITES[1]))
    assert last is not None
    assert (seqs(last), last.end) == ([6], 6)


def test_progress_has_a_frame_of_its_own_between_events() -> None:
    feed = started_at(2)
    said = {"type": "progress", "satellite_id": str(SATELLITES[0]), "progress": 0.5}
    feed.extend([event(3, "started", SATELLITES[0]), event(4, "started", SATELLITES[1])])
    feed.add_progress(said)
    feed.extend([event(5, "completed", SATELLITES[0])])
    kinds = [message["type"] for message in messages(feed.read(0))]
    assert kinds == ["events", "progress", "event"]
    assert feed.cursor_after(4) == 3


def test_cursor_is_found_by_what_is_known() -> None:
    feed = started_at(2)
    feed.extend([event(seq, "started", SATELLITES[0]) for seq in range(3, 10)])
    assert feed.cursor_after(2) == 0
    assert seqs(feed.read(feed.cursor_after(6) or 0)) == [7, 8, 9]
    assert feed.cursor_after(9) == 7
    assert feed.cursor_after(1) is None, "what it lacks is not kept"
    assert feed.cursor_after(10) is None, "it knows more than the feed: reading on now would repeat an event"


def test_who_falls_behind_what_is_kept_is_too_slow(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feeds, "KEPT_ENTRIES", 3)
    feed = started_at(2)
    feed.extend([event(seq, "started", SATELLITES[0]) for seq in range(3, 6)])
    feed.extend([event(seq, "started", SATELLITES[0]) for seq in range(6, 8)])
    with pytest.raises(TooSlow):
        feed.read(0)
    assert feed.cursor_after(3) is None
    assert seqs(feed.read(feed.cursor_after(4) or 0)) == [5, 6, 7]


def test_what_is_new_can_be_read_however_much_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feeds, "KEPT_ENTRIES", 3)
    feed = started_at(2)
    feed.extend([event(seq, "started", SATELLITES[0]) for seq in range(3, 20)])
    assert seqs(feed.read(0)) == list(range(3, 20))


def test_long_events_are_kept_by_their_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feeds, "KEPT_BYTES", 10_000)
    feed = started_at(2)
    for seq in range(3, 8):
        feed.extend([event(seq, "failed", SATELLITES[0], error="x" * 4_000)])
    with pytest.raises(TooSlow):
        feed.read(0)
    assert seqs(feed.read(feed.cursor_after(5) or 0)) == [6, 7]
    feed.extend([event(8, "failed", SATELLITES[0], error="x" * 20_000)])
    assert feed.cursor_after(8) is not None


def test_long_frames_are_split() -> None:
    feed = started_at(2)
    feed.extend([event(seq, "failed", SATELLITES[0], error="x" * 100_000) for seq in range(3, 10)])
    split = messages(feed.read(0))
    assert len(split) == 3
    assert [one["seq"] for message in split for one in message.get("events", [message])] == list(range(3, 10))


def test_watchers_are_woken() -> None:
    feed, watcher = started_at(2), Event()
    feed.watchers.add(watcher)
    feed.extend([event(3, "started", SATELLITES[0])])
    assert watcher.is_set()
