"""The messages that the API sends for a new execution, as they lie in Redis before any worker takes them."""

from __future__ import annotations

import base64
import json
from typing import TYPE_CHECKING, Any

import pytest
import redis

from state_manager.store.satellite_types import SatelliteType, register_types
from tests.system import System, fresh_system
from tests.waiting import until

if TYPE_CHECKING:
    from collections.abc import Iterator

ECHO = "satellite/exospherehost/echo"
QUEUE = "satellites"


@pytest.fixture(scope="module")
def without_workers(postgres: str, template: str) -> Iterator[System]:
    """Yield a system of an API alone, which knows the type of these satellites."""
    with fresh_system(postgres, template) as system:
        register_types(system.engine, [SatelliteType(ECHO, QUEUE)])
        system.start_api()
        yield system


def one(name: str, *dependencies: str) -> dict[str, Any]:
    return {"name": name, "uses": ECHO, "dependencies": list(dependencies)}


def sent(system: System, *satellites: dict[str, Any], count: int = 1) -> tuple[list[dict[str, Any]], dict[str, str]]:
    """Submit; return the messages, once there are `count` of them, and the names of the satellites by id."""
    broker = redis.Redis.from_url(system.redis_uri)
    broker.delete(QUEUE)
    execution = system.execution(system.submit(*satellites))
    names = {row["satellite_id"]: row["name"] for row in execution["satellites"]}
    # A busy API answers before it has sent the messages.
    raw = until(
        lambda: len(found := broker.lrange(QUEUE, 0, -1)) >= count and found, what=f"{count} messages are there"
    )
    messages = [json.loads(message) for message in raw]
    for message in messages:
        message["body"] = json.loads(base64.b64decode(message["body"]))
        assert message["headers"]["root_id"] == execution["execution_id"]
    return messages, names


def spelled(signature: dict[str, Any], names: dict[str, str]) -> str:
    """Write a signature as the code that makes it."""
    kind, kwargs = signature["subtask_type"], signature["kwargs"]
    if kind == "chord":
        return f"chord({spelled(kwargs['header'], names)}, {spelled(kwargs['body'], names)})"
    if kind in {"group", "chain"}:
        return f"{kind}({', '.join(spelled(task, names) for task in kwargs['tasks'])})"
    return names[signature["args"][0]]


def test_chain_is_sent_as_one_message_that_carries_the_rest(without_workers: System) -> None:
    messages, names = sent(without_workers, one("a"), one("b", "a"), one("c", "b"))

    (message,) = messages
    args, _, embed = message["body"]
    assert names[args[0]] == "a"
    assert message["headers"]["id"] == args[0]
    assert [spelled(link, names) for link in reversed(embed["chain"])] == ["b", "c"]


def test_diamond_is_sent_as_one_message_with_a_chord_in_its_chain(without_workers: System) -> None:
    messages, names = sent(without_workers, one("a"), one("b", "a"), one("c", "a"), one("d", "b", "c"), one("e", "d"))

    (message,) = messages
    _, _, embed = message["body"]
    assert [spelled(link, names) for link in reversed(embed["chain"])] == ["chord(group(b, c), d)", "e"]


def test_map_reduce_of_twenty_branches_is_sent_as_one_message(without_workers: System) -> None:
    maps = [f"map-{at}" for at in range(20)]

    messages, names = sent(without_workers, one("split"), *(one(name, "split") for name in maps), one("reduce", *maps))

    (message,) = messages
    _, _, embed = message["body"]
    assert [spelled(link, names) for link in embed["chain"]] == [f"chord(group({', '.join(maps)}), reduce)"]


def test_branches_that_are_ready_at_once_are_sent_as_the_parts_of_a_chord(without_workers: System) -> None:
    messages, names = sent(without_workers, one("a"), one("a2", "a"), one("b"), one("join", "a2", "b"), count=2)

    heads = {names[message["body"][0][0]]: message["body"][2] for message in messages}
    assert heads.keys() == {"a", "b"}
    assert [names[link["args"][0]] for link in heads["a"]["chain"]] == ["a2"]
    assert names[heads["a"]["chain"][0]["options"]["chord"]["args"][0]] == "join"
    assert names[heads["b"]["chord"]["args"][0]] == "join"
