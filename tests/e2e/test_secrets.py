"""Secrets are seen by the satellites that ask for them, and nowhere else, also while their keys are replaced."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import signal
from contextlib import contextmanager
from threading import Thread
from typing import TYPE_CHECKING, Any
from uuid import UUID

import psutil
import pytest
from redis import Redis
from sqlalchemy import func, inspect, select, text
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

from state_manager.secrets.envelope import Place, seal, unseal
from state_manager.secrets.keys import parse_keys
from state_manager.secrets.rotation import rotate
from state_manager.store import secrets
from state_manager.store.tables import secrets as secrets_table
from tests.system import SECRETS_KEY, fresh_system
from tests.waiting import until
from workers.attempt.redaction import spellings

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from sqlalchemy import Engine

    from tests.processes import Process
    from tests.system import System

TOKEN = "canaryProject0123456789abcdef"  # noqa: S105
PASSWORD = "canary \"Execution\"\\ 'of' ünüsual?&=+% characters\nand its second line"  # noqa: S105
MARKER = "canary-that-may-be-seen"
NEW_KEY = base64.b64encode(bytes(range(100, 132))).decode()


class Seen:
    """All that could be seen of a system from outside of its satellites, by where it was seen."""

    def __init__(self, redis_uri: str) -> None:
        self.texts: list[tuple[str, str]] = []
        self._redis = Redis.from_url(
            redis_uri, decode_responses=True, encoding_errors="backslashreplace", socket_timeout=None
        )

    def add(self, where: str, what: object) -> None:
        """Note something that was seen; JSON also as its values are."""
        self.texts.append((where, what if isinstance(what, str) else json.dumps(what, ensure_ascii=False)))

    def where(self, wanted: str) -> set[str]:
        """Name the places where a text was seen."""
        return {where for where, seen in self.texts if wanted in seen}

    @contextmanager
    def commands_of_redis(self) -> Iterator[None]:
        """Note every command that Redis gets in this block: messages, events, notifications."""
        with self._redis.monitor() as monitor:  # type: ignore[no-untyped-call]
            end = "the end of the commands"

            def note() -> None:
                for command in monitor.listen():
                    self.add("command of Redis", command["command"])
                    for body in re.findall(r"[A-Za-z0-9+/]{16,}={0,2}", command["command"]):
                        self.add("message in Redis", base64.b64decode(body + "==").decode(errors="replace"))
                    if end in command["command"]:
                        return

            noting = Thread(target=note)
            noting.start()
            try:
                yield
            finally:
                self._redis.echo(end)
                noting.join()

    def keys_of_redis(self) -> None:
        """Note all that is in Redis."""
        readers: dict[Any, Callable[[Any], object]] = {
            "string": self._redis.get,
            "hash": self._redis.hgetall,
            "list": lambda key: self._redis.lrange(key, 0, -1),
            "set": lambda key: list(self._redis.smembers(key)),
            "zset": lambda key: self._redis.zrange(key, 0, -1),
        }
        for key in self._redis.scan_iter():
            self.add("key of Redis", [key, readers[str(self._redis.type(key))](key)])

    def tables(self, engine: Engine) -> None:
        """Note every row of every table, as PostgreSQL writes it."""
        with engine.connect() as connection:
            for table in inspect(engine).get_table_names():
                for row in connection.scalars(text(f'SELECT row_to_json(t)::text FROM "{table}" t')):
                    self.add(f"table {table}", row)
                    self.add(f"table {table}", json.loads(row))

    def process(self, name: str, process: Process) -> None:
        """Note what a process has logged, and the command lines and environments of it and its children."""
        self.add(f"log of {name}", process.output)
        root = psutil.Process(process.pid)
        for one in (root, *root.children(recursive=True)):
            self.add(f"command line of {name}", one.cmdline())
            self.add(f"environment of {name}", one.environ())


@pytest.fixture
def own_system(postgres: str, template: str) -> Iterator[System]:
    """Yield a system whose Redis no other test uses, not started yet."""
    with fresh_system(postgres, template) as system:
        yield system


def tell(name: str, *dependencies: str, **fields: Any) -> dict[str, Any]:
    config = {"secrets": ["TOKEN", "PASSWORD"], **fields.pop("config", {})}
    return {
        "name": name, "uses": "satellite/test/tell", "config": config, "dependencies": ["gate", *dependencies], **fields
    }  # fmt: skip


def test_secret_is_seen_nowhere_but_by_satellites(own_system: System, tmp_path: Path) -> None:
    system, seen = own_system, Seen(own_system.redis_uri)
    echo = "satellite/exospherehost/echo"
    with seen.commands_of_redis():
        worker = system.start_worker("-E")  # with the events that Flower shows
        beat = system.start_beat()
        api = system.start_api()
        seen.add("response", system.call("PUT", "/projects/test/secrets/TOKEN", {"value": TOKEN}))
        seen.add("response", system.call("PUT", "/projects/test/secrets/1st", {"value": TOKEN}))
        seen.add("response", system.call("GET", "/projects/test/secrets"))
        document = {
            "identifier": "test/canary",
            "secrets": {"PASSWORD": PASSWORD},
            "satellites": [
                {"name": "gate", "uses": "satellite/test/wait", "config": {"file": str(tmp_path / "open")}},
                tell("returns"),
                tell("fails", config={"raises": "value"}),
                tell("retries", config={"raises": "transient"}, retries=1),
                {
                    "name": "resolves",
                    "uses": echo,
                    "config": {"header": "Bearer ${{ secrets.TOKEN }}", "password": "${{ secrets.PASSWORD }}"},
                    "dependencies": ["gate"],
                },
                {"name": "marks", "uses": echo, "config": {"marker": MARKER}, "dependencies": ["returns"]},
            ],
        }
        status, answer = system.call("POST", "/executions", document, {"Idempotency-Key": "canary"})
        assert status == 201, answer
        execution_id = answer["execution_id"]
        seen.add("response", answer)
        seen.add("response", system.call("POST", "/executions", document, {"Idempotency-Key": "canary"}))
        other = {**document, "secrets": {"PASSWORD": PASSWORD + "!"}}
        assert system.call("POST", "/executions", other, {"Idempotency-Key": "canary"})[0] == 409
        for _ in ("while it runs", "of its end"):
            with connect(f"ws://127.0.0.1:{system.port}/ws/executions/{execution_id}") as watch:
                (tmp_path / "open").touch()
                with pytest.raises(ConnectionClosed):
                    while True:
                        seen.add("frame", str(watch.recv(timeout=60)))
        ended = system.wait(execution_id)
        seen.keys_of_redis()
        for path in ("", "/events?limit=200"):
            seen.add("response", system.call("GET", f"/executions/{execution_id}{path}"))
        satellites = {
            one["name"]: system.call("GET", f"/satellites/{one['satellite_id']}")[1] for one in ended["satellites"]
        }
        logs = {
            one["name"]: system.call("GET", f"/satellites/{one['satellite_id']}/logs?limit=200")[1]["items"]
            for one in ended["satellites"]
        }
        seen.add("response", satellites)
        seen.add("response", logs)
        seen.add("response", system.call("GET", "/executions"))
        seen.add("response", system.call("GET", "/state/summary"))
    for name, process in (("worker", worker), ("beat", beat), ("api", api)):
        seen.process(name, process)
    seen.tables(system.engine)

    # The satellites had the secrets, and what they did with them is there without them.
    digests = {"TOKEN": hashlib.sha256(TOKEN.encode()), "PASSWORD": hashlib.sha256(PASSWORD.encode())}
    output = satellites["returns"]["output"]
    assert output["digests"] == {name: digest.hexdigest() for name, digest in digests.items()}
    assert output["told"] == {"TOKEN": "***", "PASSWORD": "***"}
    assert satellites["resolves"]["status"] == "completed", satellites["resolves"]["traceback"]
    assert satellites["resolves"]["output"]["config"] == {"header": "Bearer ***", "password": "***"}
    assert {"fails", "retries"} == {name for name, one in satellites.items() if one["status"] == "failed"}
    assert all("***" in satellites[name]["traceback"] for name in ("fails", "retries"))
    assert any("printed ***" in line["message"] for line in logs["returns"])

    # What may be seen is seen in all of these places, so that a secret would be too.
    assert seen.where(MARKER) >= {"response", "frame", "table executions", "table satellites"}
    assert seen.where("progress ***") >= {"frame", "command of Redis"}
    assert seen.where("printed ***") >= {"response", "table logs", "log of worker"}
    assert seen.where(": dXNlcjp***") >= {"message in Redis", "table events", "table satellites", "frame"}

    found = {one: seen.where(one) for value in (TOKEN, PASSWORD) for one in spellings(value)}
    assert {one: where for one, where in found.items() if where} == {}


def count_under(engine: Engine, key: str) -> int:
    query = select(func.count()).where(secrets_table.c.key_id == parse_keys(key).newest.id)
    with engine.connect() as connection:
        return connection.scalar(query) or 0


def test_keys_are_replaced_while_executions_use_secrets(own_system: System) -> None:
    system, old, both = own_system, parse_keys(SECRETS_KEY), f"{NEW_KEY},{SECRETS_KEY}"
    places = [Place("test", "TOKEN"), *(Place("test", f"S{at}") for at in range(1500))]
    for place in places:
        secrets.put(system.engine, place, seal(old, place, f"{TOKEN} {place.name}"))
    system.environment["SECRETS_KEY"] = both
    system.start_everything()
    reads = {"uses": "satellite/test/tell", "config": {"secrets": ["TOKEN", "S1499"]}}

    def submitted() -> str:
        chain = [{"name": f"s{at}", "dependencies": [f"s{at - 1}"] if at else [], **reads} for at in range(20)]
        return system.submit(*chain)

    executions = [submitted()]
    with (
        system.engine.connect().execution_options(isolation_level="READ COMMITTED") as connection,
        connection.begin(),
    ):
        # A rotation in the middle waits for this row, and is killed there.
        locked = secrets_table.c.name == "S700"
        connection.execute(select(secrets_table.c.id).where(locked).with_for_update())
        killed = system.start("-m", "state_manager.secrets", "rotate")
        until(lambda: count_under(system.engine, NEW_KEY) >= 700, what="half of the secrets are under the new key")
        killed.send(signal.SIGKILL)
        killed.wait()
    left = count_under(system.engine, SECRETS_KEY)
    assert left > 700
    executions.append(submitted())
    rotations = [system.start("-m", "state_manager.secrets", "rotate") for _ in range(2)]
    executions.append(submitted())
    assert [one.wait() for one in rotations] == [0, 0], [one.output for one in rotations]
    # The row that the killed one waited for may have been changed by PostgreSQL after the count all the same.
    assert left - 1 <= sum(int(one.output.split()[0]) for one in rotations) <= left
    assert count_under(system.engine, SECRETS_KEY) == 0
    executions.append(submitted())

    digests = {name: hashlib.sha256(f"{TOKEN} {name}".encode()).hexdigest() for name in ("TOKEN", "S1499")}
    for one in executions:
        ended = system.wait(one)
        assert ended["status"] == "completed", ended
        assert ended["results"]["s19"]["digests"] == digests
    new = parse_keys(NEW_KEY)
    found = secrets.find(system.engine, UUID(executions[0]), "S3")
    assert found is not None
    assert unseal(new, found.place, found.sealed) == f"{TOKEN} S3"
    assert rotate(system.engine, new).count == 0


def test_rotation_names_what_it_has_no_key_for(own_system: System) -> None:
    place = Place("test", "TOKEN")
    secrets.put(own_system.engine, place, seal(parse_keys(NEW_KEY), place, TOKEN))
    rotation = own_system.start("-m", "state_manager.secrets", "rotate")
    assert rotation.wait() == 1
    assert "secret 'TOKEN' of project test: master key" in rotation.output
    assert "1 secrets are still under another key" in rotation.output
