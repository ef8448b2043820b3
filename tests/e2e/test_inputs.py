"""The input of a satellite: what its dependencies returned, under what the document gives it."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.system import System

ECHO = "satellite/exospherehost/echo"


def test_own_input_wins_over_an_output_of_the_same_name(system: System) -> None:
    execution_id = system.submit(
        {"name": "a", "uses": ECHO, "config": {"of": "a"}},
        {"name": "b", "uses": ECHO, "config": {"of": "b"}},
        {"name": "c", "uses": ECHO, "dependencies": ["a", "b"], "input": {"a": "own", "more": 1}},
    )
    results = system.wait(execution_id)["results"]
    given = results["c"]["input"]
    assert (given["a"], given["more"], given["b"]["config"]) == ("own", 1, {"of": "b"})
    assert system.satellite(execution_id, "c")["input"] == given
