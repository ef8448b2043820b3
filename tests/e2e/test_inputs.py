"""The input of a satellite: what its dependencies returned, under what the document gives it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.system import fresh_system

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


def test_inputs_that_are_too_large_together_fail_their_satellite_and_hold_no_worker(
    postgres: str, template: str
) -> None:
    with fresh_system(postgres, template, MAX_INPUT_BYTES="500") as system:
        system.start_everything()
        parts = [{"name": f"part{at}", "uses": ECHO, "config": {"text": "x" * 150}} for at in range(4)]
        names = [str(one["name"]) for one in parts]
        large = system.submit(*parts, {"name": "join", "uses": ECHO, "dependencies": names})
        assert system.wait(large)["status"] == "failed"
        join = system.satellite(large, "join")
        assert (join["error_kind"], join["attempt"]) == ("configuration_error", 1)
        assert "the outputs of the dependencies of 'join' have " in join["error"]
        assert join["error"].endswith("at most 500 are allowed (MAX_INPUT_BYTES)")
        assert system.wait(system.submit({"name": "a", "uses": ECHO}))["status"] == "completed"
