"""Satellites for tests, most of them misbehaving as their configuration says."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import hashlib
import json
import logging
import os
import re
import signal
import sys
import time
import urllib.parse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from celery.exceptions import Ignore, Reject

from exospherehost import ConfigurationError, Prune, RequeueAfter, TransientError, satellite

if TYPE_CHECKING:
    from collections.abc import Callable

    from exospherehost import Context


@satellite("satellite/test/fail")
def fail(context: Context) -> None:
    """Raise as told."""
    kinds = {"transient": TransientError, "configuration": ConfigurationError, "value": ValueError}
    raise kinds[context.config.get("how", "value")](context.config.get("message", "it was told to fail"))


@satellite("satellite/test/return")
def return_value(context: Context) -> Any:
    """Return something that may be no JSON value, or too much of it."""
    values = {
        "object": object(),
        "nan": float("nan"),
        "nul": {"a": ["b\0c"]},
        "surrogate": "\ud800",
        "deep": json.loads("[" * 900 + "]" * 900),
        "large": "x" * (1024 * 1024),
        "bytes": b"bytes",
        "set": {1, 2},
        "float": 1e300,
        "backslash": "\\u0000",
    }
    return values[context.config["what"]]


@satellite("satellite/test/exit")
def call_exit(context: Context) -> None:
    """Call exit, as scripts do."""
    raise SystemExit(context.config.get("code", 1))


@satellite("satellite/test/asynchronous")
async def asynchronous(context: Context) -> dict[str, Any]:
    """Await something."""
    await asyncio.sleep(0.01)
    return {"input": context.input}


@satellite("satellite/test/talk")
def log_and_print(context: Context) -> None:
    """Log and print in every way."""
    context.log.debug("a debug line")
    context.log.info("an info line about %d things", 3)
    context.log.warning("a warning with a NUL \0 in it")
    logging.getLogger("some.library").info("a library's line")
    print("a printed line")


@satellite("satellite/test/tell")
def tell(context: Context) -> dict[str, Any]:
    """Read secrets, and let them out in every way that a satellite has."""
    told = {name: context.secrets[name] for name in context.config["secrets"]}
    for value in told.values():
        encoded = base64.b64encode(f"user:{value}".encode()).decode()
        context.log.info("logged %s and %r", value, {"token": value})
        logging.getLogger("some.library").warning("header: Basic %s", encoded)
        print("printed", value)
        print(urllib.parse.urlencode({"token": value}), file=sys.stderr)
        context.progress(0.5, f"progress {value}")
        try:
            dict[str, str]()[value]
        except KeyError:
            context.log.exception("caught")
    if "raises" in context.config:
        try:
            int(f"cannot log in as {told}")
        except ValueError as error:
            raise {"transient": TransientError, "value": ValueError}[context.config["raises"]](
                f"{json.dumps(told)}: {encoded}"
            ) from error
    digests = {name: hashlib.sha256(value.encode()).hexdigest() for name, value in told.items()}
    return {
        "digests": digests,
        "told": told,
        "header": f"Basic {encoded}",
        encoded: [*told.values()],
        "url": f"https://x/?{told}",
    }


@satellite("satellite/test/burn")
def burn(context: Context) -> None:
    """Use the processor and memory as told."""
    block = bytearray(int(context.config.get("mebibytes", 0)) * 1024 * 1024)
    for at in range(0, len(block), 4096):
        block[at] = 1
    end = time.process_time() + context.config.get("cpu_s", 0)
    while time.process_time() < end:
        pass


@satellite("satellite/test/note")
def note(context: Context) -> dict[str, Any]:
    """Append a line to a file: who ran, which attempt, in which process; fail first where a file is missing."""
    if not Path(context.config.get("needs", "/")).exists():
        raise ValueError(f"{context.config['needs']} is not there")
    with Path(context.config["file"]).open("a") as file:
        file.write(f"{context.name} {context.attempt} {os.getpid()}\n")
    time.sleep(context.config.get("seconds", 0))
    return {"attempt": context.attempt}


@satellite("satellite/test/special", queue="special")
def special(context: Context) -> dict[str, Any]:
    """Run on a queue of its own."""
    return {"name": context.name}


@satellite("satellite/test/nothing")
def nothing(context: Context) -> None:
    """Do nothing."""


@satellite("satellite/test/step")
def step(context: Context) -> None:
    """Say after each of a thousand steps how far it is; wait for a file before, and for another after them."""
    wait_for(context.config["begins"])
    for at in range(1000):
        context.progress((at + 1) / 1000, f"step {at + 1} of 1000")
    wait_for(context.config["ends"])


def wait_for(file: str) -> None:
    """Wait until a file is there."""
    while not Path(file).exists():
        time.sleep(0.01)


@satellite("satellite/test/usually-short")
def usually_short(context: Context) -> None:
    """Return at once, unless it is told to wait for a file."""
    if "file" in context.config:
        wait_for(context.config["file"])


@satellite("satellite/test/meet")
def meet(context: Context) -> None:
    """Leave a file, and wait for that of another: the two end only if they run at the same time."""
    Path(context.config["leaves"]).touch()
    wait_for(context.config["awaits"])


@satellite("satellite/test/wait")
def wait(context: Context) -> dict[str, Any]:
    """Wait until a file is there; whatever interrupts it meanwhile is ignored where it is told so."""
    while not Path(context.config["file"]).exists():
        try:
            wait_for(context.config["file"])
        except BaseException:
            if not context.config.get("ignores_interruptions"):
                raise
    return {"attempt": context.attempt, "pid": os.getpid()}


class Odd(BaseException):
    """An exception that is no `Exception`."""


@satellite("satellite/test/raise")
def raise_odd(context: Context) -> None:
    """Raise what handlers of `Exception` let pass."""
    kinds = (asyncio.CancelledError, KeyboardInterrupt, GeneratorExit, SystemExit, Odd, MemoryError, Ignore, Reject)
    raise {kind.__name__: kind for kind in kinds}[context.config["kind"]]("as told")


@satellite("satellite/test/raise-async")
async def raise_odd_async(context: Context) -> None:
    """Raise the same from a coroutine."""
    await asyncio.sleep(0)
    raise_odd(context)


@satellite("satellite/test/flaky", kinds=["moody"])
def flaky(context: Context) -> dict[str, Any]:
    """Fail in the first attempts, as many as told, with the kind of error told."""
    if context.attempt <= context.config["failures"]:
        raise TransientError("not yet", kind=context.config.get("kind"))
    return {"attempt": context.attempt, "key": context.idempotency_key}


@satellite("satellite/test/die")
def die(context: Context) -> dict[str, Any]:
    """Take the process along, in the first attempts, as many as told."""
    if context.attempt <= context.config.get("deaths", 1):
        match context.config.get("how", "kill"):
            case "kill":
                os.kill(os.getpid(), signal.SIGKILL)
            case "exit":
                os._exit(3)
            case "segfault":
                os.kill(os.getpid(), signal.SIGSEGV)
    return {"attempt": context.attempt}


@satellite("satellite/test/stubborn")
def stubborn(context: Context) -> None:
    """Take long, and react to interruptions or not."""
    end = time.monotonic() + context.config.get("seconds", 60)
    if context.config.get("mark"):
        Path(context.config["mark"]).write_text(f"{os.getpid()} {context.attempt}")
    while time.monotonic() < end:
        match context.config.get("how", "sleeps"):
            case "sleeps":
                time.sleep(max(end - time.monotonic(), 0))
            case "spins":
                pass
            case "logs":
                context.log.debug("still there")
            case "asks":
                if context.cancelled():
                    return
                time.sleep(0.01)
            case "swallows":
                with contextlib.suppress(BaseException):
                    time.sleep(1)
            case "matches":  # never lets go of the interpreter's lock
                re.match(r"(a+)+$", "a" * 40 + "b")


@satellite("satellite/test/stubborn-async")
async def stubborn_async(context: Context) -> None:
    """Await for long."""
    if context.config.get("mark"):
        Path(context.config["mark"]).write_text(f"{os.getpid()} {context.attempt}")
    await asyncio.sleep(context.config.get("seconds", 60))


@satellite("satellite/test/prune")
def prune(_: Context) -> None:
    """Find nothing to do."""
    raise Prune


@satellite("satellite/test/poll")
def poll(context: Context) -> dict[str, int]:
    """Look for a file, and look again later."""
    if not Path(context.config["file"]).exists():
        raise RequeueAfter(context.config["every_s"])
    return {"attempt": context.attempt}


@satellite("satellite/test/requeue")
def requeue(context: Context) -> None:
    """Ask for another run a few times."""
    if context.store.increment(context.satellite_id) <= context.config["times"]:
        raise RequeueAfter(context.config["after_s"])


class Made:
    """A binary file of so many bytes that are nowhere; after the first five million it does what it is told."""

    def __init__(self, size: int, then: Callable[[], None]) -> None:
        self._left, self._then, self._read = size, then, 0

    def read(self, size: int) -> bytes:
        """Return the next bytes."""
        if self._read >= 5_000_000:
            self._then()
        chunk = b"0123456789abcdef" * (min(size, self._left) // 16) + b"." * (min(size, self._left) % 16)
        self._left -= len(chunk)
        self._read += len(chunk)
        return chunk


@satellite("satellite/test/keep")
def keep(context: Context) -> dict[str, Any]:
    """Keep an artifact of so many bytes; in the first attempt leave a mark in the middle of it, and wait for ever."""

    def then() -> None:
        if "mark" in context.config and context.attempt == 1:
            Path(context.config["mark"]).write_text(str(os.getpid()))
            wait_for("/never")

    return context.put_artifact(context.config.get("name", "data"), Made(context.config["bytes"], then))


@satellite("satellite/test/digest")
def digest(context: Context) -> dict[str, Any]:
    """Read the artifact of the one dependency, piece by piece."""
    (reference,) = context.input.values()
    with context.open_artifact(reference) as file:
        return {"sha256": hashlib.file_digest(file, "sha256").hexdigest()}


@satellite("satellite/test/count")
def count(context: Context) -> dict[str, Any]:
    """Add one to a number that all satellites share."""
    return {"number": context.store.increment("count")}
