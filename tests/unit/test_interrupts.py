"""Interruptions reach a satellite's own code, wherever it runs, and nothing else."""

from __future__ import annotations

import asyncio
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest

from workers.attempt import interrupts
from workers.attempt.interrupts import Interrupted, Interruptible, Reason, interruptible

if TYPE_CHECKING:
    from collections.abc import Callable

    Runner = Callable[[Callable[[], Any]], Any]

LONG_S = 60


@pytest.fixture(autouse=True)
def _listening() -> None:
    interrupts.install()


def in_main_thread(function: Callable[[], Any]) -> Any:
    return function()


def in_another_thread(function: Callable[[], Any]) -> Any:
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(function).result()


everywhere = pytest.mark.parametrize("run", [in_main_thread, in_another_thread])


def interrupt_once(running: threading.Event, run: Interruptible, reason: Reason = Reason.TIMEOUT) -> threading.Thread:
    def act() -> None:
        running.wait(10)
        while not run.delivered:
            run.interrupt(reason)
            time.sleep(0.05)

    thread = threading.Thread(target=act)
    thread.start()
    return thread


@everywhere
def test_interruption_ends_a_busy_satellite(run: Runner) -> None:
    def satellite() -> None:
        running = threading.Event()
        with interruptible() as me:
            rival = interrupt_once(running, me)
            with pytest.raises(Interrupted), me.exposed():
                running.set()
                while True:
                    pass
            rival.join()
            assert me.reason is Reason.TIMEOUT

    run(satellite)


def test_interruption_ends_a_blocking_call_in_the_main_thread() -> None:
    running = threading.Event()
    started = time.monotonic()
    with interruptible() as me:
        rival = interrupt_once(running, me)
        with pytest.raises(Interrupted), me.exposed():
            running.set()
            time.sleep(LONG_S)
        rival.join()
    assert time.monotonic() - started < LONG_S / 2


@everywhere
def test_interruption_cancels_an_async_satellite(run: Runner) -> None:
    def satellite() -> None:
        running = threading.Event()

        async def work() -> None:
            running.set()
            await asyncio.sleep(LONG_S)

        with interruptible() as me:
            rival = interrupt_once(running, me)
            with pytest.raises(Interrupted), me.exposed():
                me.run(work())
            rival.join()

    run(satellite)


@everywhere
def test_our_own_call_is_finished_before_the_interruption_is_raised(run: Runner) -> None:
    def satellite() -> None:
        finished = []
        with interruptible() as me, pytest.raises(Interrupted), me.exposed():
            with interrupts.shielded():
                me.interrupt(Reason.TAKEN_AWAY)
                finished.append(True)
            finished.append(False)
        assert finished == [True]

    run(satellite)


@everywhere
def test_interruption_before_the_satellites_code_is_raised_as_it_begins(run: Runner) -> None:
    def satellite() -> None:
        with interruptible() as me:
            me.interrupt(Reason.TIMEOUT)
            with pytest.raises(Interrupted), me.exposed():
                pytest.fail("the satellite began")

    run(satellite)


@everywhere
def test_interruption_after_the_satellites_code_changes_nothing(run: Runner) -> None:
    def satellite() -> str:
        with interruptible() as me:
            with me.exposed():
                result = "done"
            me.interrupt(Reason.TIMEOUT)
            for _ in range(1000):
                pass
            return result

    assert run(satellite) == "done"


def test_interruption_that_races_with_the_end_never_leaks_out_of_a_threads_satellite() -> None:
    def satellite() -> None:
        for _ in range(300):
            with interruptible() as me:
                rival = threading.Thread(target=me.interrupt, args=(Reason.TIMEOUT,))
                try:
                    with me.exposed():
                        rival.start()
                        for _ in range(50):
                            pass
                except Interrupted:
                    pass
            rival.join()

    in_another_thread(satellite)


def test_first_reason_stays() -> None:
    with interruptible() as me:
        me.interrupt(Reason.TIMEOUT)
        me.interrupt(Reason.TAKEN_AWAY)

        assert me.reason is Reason.TIMEOUT


def test_satellite_that_asks_has_learnt_that_it_has_to_end() -> None:
    with interruptible() as me:
        assert not me.tell()
        assert not me.delivered
        me.interrupt(Reason.STOPPING)
        assert me.tell()
        assert me.delivered
