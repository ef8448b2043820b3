"""Short satellites of one execution and one queue share a message, as many as fit a batch."""

from __future__ import annotations

from typing import TYPE_CHECKING
from uuid import uuid4

from state_manager.store.queueing import Unsent
from workers.dispatch import durations
from workers.dispatch.durations import UsualDurations

if TYPE_CHECKING:
    from uuid import UUID

KIND = "satellite/test/short"
EXECUTION = uuid4()


def unsent(
    count: int, *, execution: UUID = EXECUTION, queue: str = "satellites", kind: str = KIND, alone: bool = False
) -> list[Unsent]:
    return [Unsent(uuid4(), execution, queue, kind, 0, alone) for _ in range(count)]


def known(took_ms: float) -> UsualDurations:
    """Know the kind to take so long, where a batch has 30 ms."""
    usual = UsualDurations(slice_ms=30 * durations.BATCHES_A_SLICE)
    usual.record(KIND, took_ms)
    return usual


def sizes(usual: UsualDurations, ready: list[Unsent]) -> list[int]:
    return [len(batch) for batch in usual.batches(ready)]


def test_short_ones_share_a_message_up_to_its_time() -> None:
    assert sizes(known(10), unsent(7)) == [3, 3, 1]


def test_long_ones_have_a_message_each() -> None:
    assert sizes(known(31), unsent(3)) == [1, 1, 1]


def test_batch_has_a_limit_however_short_they_are() -> None:
    assert sizes(known(0.0001), unsent(durations.BATCH_LIMIT + 1)) == [durations.BATCH_LIMIT, 1]


def test_one_that_is_to_run_alone_has_a_message_of_its_own() -> None:
    assert sizes(known(1), [*unsent(2), *unsent(1, alone=True), *unsent(2)]) == [2, 1, 2]


def test_executions_and_queues_are_kept_apart() -> None:
    other, ready = uuid4(), unsent(2)
    mixed = [ready[0], *unsent(1, execution=other), *unsent(1, queue="gpu"), ready[1]]
    batches = list(known(1).batches(mixed))
    assert len(batches) == 3
    assert [{(one.execution_id, one.queue) for one in batch} for batch in batches] == [
        {(batch[0].execution_id, batch[0].queue)} for batch in batches
    ]


def test_front_of_an_unknown_kind_goes_in_many_messages() -> None:
    usual = known(1)
    assert sizes(usual, unsent(10, kind="satellite/test/new")) == [1] * 10
    assert len(sizes(usual, unsent(640, kind="satellite/test/new"))) >= durations.UNKNOWN_BATCHES


def test_one_long_satellite_does_not_make_its_kind_a_long_one() -> None:
    usual = known(1)
    usual.record(KIND, 2000)
    assert usual.short()[KIND] < usual.batch_ms


def test_kind_that_has_become_long_is_learnt() -> None:
    usual = known(1)
    for _ in range(50):
        usual.record(KIND, 2000)
    assert KIND not in usual.short()
