"""Stops, retries and losses tell watchers, and send what may start because of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from state_manager import lifecycle as module
from state_manager.states import ExecutionStatus
from state_manager.store import leases
from tests.factories import chain, front, submit
from tests.store.attempts import MANY, WORKER, claim, complete, fail, failed, settle
from tests.store.recorder import Recorder, lifecycle

if TYPE_CHECKING:
    from sqlalchemy import Engine

CANCELLED = ExecutionStatus.CANCELLED


def test_stop_tells_watchers_once(engine: Engine) -> None:
    submitted, recorder = submit(engine, chain(2)), Recorder()
    for _ in range(2):
        lifecycle(engine, recorder, MANY).stop(submitted.execution_id, CANCELLED)
    assert recorder == Recorder(notified=[submitted.execution_id])


def test_execution_that_is_admitted_is_sent_and_told_of(engine: Engine) -> None:
    first, second = (submit(engine, front(1), max_concurrent=1) for _ in range(2))
    recorder = Recorder()
    lifecycle(engine, recorder, 1).stop(first.execution_id, CANCELLED)
    assert recorder.enqueued == [second.execution_id]
    assert recorder.notified == [first.execution_id, second.execution_id]


def test_retry_tells_watchers_and_sends_what_may_start(engine: Engine) -> None:
    submitted, recorder = submit(engine, chain(2)), Recorder()
    fail(engine, submitted, "s0")
    lifecycle(engine, recorder, MANY).retry(submitted.execution_id)
    assert recorder == Recorder(sent=[submitted["s0"]], notified=[submitted.execution_id])


def test_retry_of_what_did_not_fail_tells_nobody(engine: Engine) -> None:
    submitted, recorder = submit(engine, chain(2)), Recorder()
    complete(engine, submitted, "s0")
    lifecycle(engine, recorder, MANY).retry(submitted.execution_id)
    assert recorder == Recorder()


def test_wide_front_that_is_retried_is_sent_by_a_worker(engine: Engine) -> None:
    submitted, recorder = submit(engine, front(module.WIDE_FRONT + 1)), Recorder()
    settle(engine, *map(failed, claim(engine, submitted, *submitted.ids)))
    lifecycle(engine, recorder, MANY).retry(submitted.execution_id)
    assert (recorder.sent, recorder.enqueued) == ([], [submitted.execution_id])


def test_loss_tells_watchers_and_sends_the_next_attempt(engine: Engine) -> None:
    submitted, recorder = submit(engine, front(1), max_attempts=2), Recorder()
    claim(engine, submitted, "s0")
    held = leases.held_by(engine, [WORKER])
    for lost in (1, 0):
        assert lifecycle(engine, recorder, MANY).expire(held, "it is gone", lease_over=False) == lost
    assert recorder == Recorder(sent=[submitted["s0"]], notified=[submitted.execution_id])
