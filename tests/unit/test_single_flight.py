"""A value that many callers ask for at once is computed once."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from threading import Event

import pytest

from api.live.single_flight import KEPT, SingleFlightCache
from tests.waiting import sleep, until


def test_those_who_ask_together_get_the_same() -> None:
    fresh: SingleFlightCache[str, object] = SingleFlightCache(60)
    go_on, begun = Event(), Event()

    def make() -> object:
        begun.set()
        assert go_on.wait(10)
        return object()

    with ThreadPoolExecutor(8) as clients:
        first = clients.submit(fresh.get, "a", make)
        assert begun.wait(10)
        others = [clients.submit(fresh.get, "a", object) for _ in range(7)]
        go_on.set()
        assert {one.result() for one in others} == {first.result()}


def test_who_waited_longer_than_it_stays_fresh_takes_it_all_the_same() -> None:
    fresh: SingleFlightCache[str, object] = SingleFlightCache(0.2)
    go_on, begun = Event(), Event()

    def make() -> object:
        begun.set()
        assert go_on.wait(10)
        sleep(0.5)
        return object()

    with ThreadPoolExecutor(8) as clients:
        first = clients.submit(fresh.get, "a", make)
        assert begun.wait(10)
        others = [clients.submit(fresh.get, "a", make) for _ in range(7)]
        until(lambda: sum(other.running() for other in others) == 7, what="all ask")
        go_on.set()
        assert {one.result() for one in others} == {first.result()}


def test_what_is_old_is_made_again() -> None:
    fresh: SingleFlightCache[str, object] = SingleFlightCache(0.01)
    first = fresh.get("a", object)
    until(lambda: fresh.get("a", object) is not first, what="it is made again")


def test_each_key_has_its_own() -> None:
    fresh: SingleFlightCache[int, int] = SingleFlightCache(60)
    assert [fresh.get(key, lambda key=key: key) for key in range(3)] == [0, 1, 2]  # type: ignore[misc]


def test_failure_is_raised_and_not_kept() -> None:
    fresh: SingleFlightCache[str, int] = SingleFlightCache(60)

    def fail() -> int:
        raise LookupError("nothing there")

    for _ in range(2):
        with pytest.raises(LookupError):
            fresh.get("a", fail)
    assert fresh.get("a", lambda: 1) == 1


def test_few_values_are_kept() -> None:
    fresh: SingleFlightCache[int, object] = SingleFlightCache(60)
    first = fresh.get(0, object)
    assert fresh.get(0, object) is first
    for key in range(1, KEPT + 1):
        fresh.get(key, object)
    assert fresh.get(0, object) is not first
