"""The canvas that the API sends, as it lies in Redis before any worker takes it."""

from __future__ import annotations

import base64
import json
from typing import TYPE_CHECKING, Any

import redis

from tests.system import System

if TYPE_CHECKING:
    from sqlalchemy import Engine

ECHO = "satellite/exospherehost/echo"


def one(name: str, *dependencies: str) -> dict[str, Any]:
    return {"name": name, "uses": ECHO, "dependencies": list(dependencies)}


def sent(database_uri: str, redis_uri: str, engine: Engine, *satellites: dict[str, Any]) -> Any:
    """Submit while no worker is there; return the messages, and the names of the satellites by id."""
    from state_manager.store.satellite_types import SatelliteType, register_types  # noqa: PLC0415

    register_types(engine, [SatelliteType(ECHO, "satellites")])
    with System(database_uri, redis_uri) as system:
        system.start_api()
        execution = system.execution(system.submit(*satellites))
        names = {row["satellite_id"]: row["name"] for row in execution["satellites"]}
        raw = redis.Redis.from_url(redis_uri).lrange("satellites", 0, -1)
    messages = [json.loads(message) for message in raw]
    for message in messages:
        message["body"] = json.loads(base64.b64decode(message["body"]))
        assert message["headers"]["root_id"] == execution["execution_id"]
    return messages, names


def spelled(signature: dict[str, Any], names: dict[str, str]) -> str:
    """Write a signature as one would say it."""
    kind, kwargs = signature["subtask_type"], signature["kwargs"]
    if kind == "chord":
        return f"chord({spelled(kwargs['header'], names)}, {spelled(kwargs['body'], names)})"
    if kind in {"group", "chain"}:
        return f"{kind}({', '.join(spelled(task, names) for task in kwargs['tasks'])})"
    return names[signature["args"][0]]


def test_chain_is_sent_as_one_message_that_carries_the_rest(database_uri: str, redis_uri: str, engine: Engine) -> None:
    messages, names = sent(database_uri, redis_uri, engine, one("a"), one("b", "a"), one("c", "b"))

    (message,) = messages
    args, _, embed = message["body"]
    assert names[args[0]] == "a"
    assert message["headers"]["id"] == args[0]
    assert [spelled(link, names) for link in reversed(embed["chain"])] == ["b", "c"]


def test_diamond_is_sent_as_one_message_with_a_chord_in_its_chain(
    database_uri: str, redis_uri: str, engine: Engine
) -> None:
    messages, names = sent(
        database_uri, redis_uri, engine, one("a"), one("b", "a"), one("c", "a"), one("d", "b", "c"), one("e", "d")
    )

    (message,) = messages
    _, _, embed = message["body"]
    assert [spelled(link, names) for link in reversed(embed["chain"])] == ["chord(group(b, c), d)", "e"]


def test_map_reduce_of_twenty_branches_is_sent_as_one_message(
    database_uri: str, redis_uri: str, engine: Engine
) -> None:
    maps = [f"map-{at}" for at in range(20)]

    messages, names = sent(
        database_uri, redis_uri, engine, one("split"), *(one(name, "split") for name in maps), one("reduce", *maps)
    )

    (message,) = messages
    _, _, embed = message["body"]
    assert [spelled(link, names) for link in embed["chain"]] == [f"chord(group({', '.join(maps)}), reduce)"]


def test_branches_that_are_ready_at_once_are_sent_as_the_parts_of_a_chord(
    database_uri: str, redis_uri: str, engine: Engine
) -> None:
    messages, names = sent(database_uri, redis_uri, engine, one("a"), one("a2", "a"), one("b"), one("join", "a2", "b"))

    heads = {names[message["body"][0][0]]: message["body"][2] for message in messages}
    assert heads.keys() == {"a", "b"}
    assert [names[link["args"][0]] for link in heads["a"]["chain"]] == ["a2"]
    assert names[heads["a"]["chain"][0]["options"]["chord"]["args"][0]] == "join"
    assert names[heads["b"]["chord"]["args"][0]] == "join"
