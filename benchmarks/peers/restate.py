"""Restate: its server, and Python services in two processes that share what is submitted.

A task is a step of its workflow (`ctx.run`); with `calls` it is a call of a service, in both processes by turns
where tasks are parallel.
"""
# mypy: disable-error-code="import-not-found"

from __future__ import annotations

import asyncio
import os
import sys
import time
from contextlib import contextmanager
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import restate

from benchmarks.peers import protocol
from benchmarks.workloads import Shape, Workload, work

if TYPE_CHECKING:
    from collections.abc import Iterator

NUMBER = os.environ.get("BENCH_RESTATE_NUMBER", "1")
VARIANT = os.environ.get("BENCH_RESTATE_VARIANT", "")
PROCESSES = 2
WITHIN_S = 120

flows = restate.Service(f"flows{NUMBER}")
parts = restate.Service(f"parts{NUMBER}")


@parts.handler()
async def part(_: restate.Context, n: int | None) -> int | None:
    """Do one task's work as a service."""
    return work(n)


async def step(n: int | None) -> int | None:
    """Do one task's work as a step."""
    return work(n)


def task(context: Any, n: int | None, at: int = 0) -> Any:
    """Begin a task."""
    if VARIANT == "calls":
        return context.generic_call(f"parts{at % PROCESSES + 1}", "part", restate.serde.JsonSerde().serialize(n))
    return context.run_typed("step", step, n=n)


@flows.handler()
async def chain(context: restate.Context, order: dict[str, Any]) -> None:
    """Do tasks one after the other."""
    for _ in range(order["size"]):
        await task(context, order["n"])


@flows.handler()
async def fan(context: restate.Context, order: dict[str, Any]) -> None:
    """Do a task, then some side by side, then one."""
    await task(context, order["n"])
    await front_of(context, order)
    await task(context, order["n"])


@flows.handler()
async def front(context: restate.Context, order: dict[str, Any]) -> None:
    """Do tasks side by side."""
    await front_of(context, order)


async def front_of(context: Any, order: dict[str, Any]) -> None:
    """Begin them all, and wait for them all."""
    await restate.gather(*(task(context, order["n"], at) for at in range(order["size"])))


app = restate.app([flows, parts])


async def submit(client: httpx.AsyncClient, shape: Shape, size: int, n: int | None, at: int = 1) -> None:
    """Have a workflow done."""
    answer = await client.post(f"/flows{at}/{shape}", json={"size": size, "n": n})
    answer.raise_for_status()


async def submit_all(client: httpx.AsyncClient, workload: Workload) -> float:
    """Return the seconds that it takes."""
    started = time.perf_counter()
    if workload.shape is Shape.DIAMONDS:
        turns = (at % PROCESSES + 1 for at in range(workload.size))
        await asyncio.gather(*(submit(client, Shape.FAN, 2, workload.fibonacci, at) for at in turns))
    else:
        await submit(client, workload.shape, workload.size, workload.fibonacci)
    return time.perf_counter() - started


@contextmanager
def start(configuration: protocol.Configuration) -> Iterator[protocol.Run]:
    """Start the server and two processes of services, and make them known to it."""
    ingress, admin, node, *services = (protocol.free_port() for _ in range(3 + PROCESSES))
    settings = {
        "RESTATE_BASE_DIR": configuration["folder"],
        "RESTATE_BIND_IP": "127.0.0.1",
        "RESTATE_BIND_PORT": str(node),
        "RESTATE_LISTEN_MODE": "tcp",
        "RESTATE_INGRESS__BIND_PORT": str(ingress),
        "RESTATE_ADMIN__BIND_PORT": str(admin),
        "RESTATE_DISABLE_TELEMETRY": "true",
        "RESTATE_LOG_FILTER": "warn",
    }
    commands = [served(port, at + 1, configuration["variant"]) for at, port in enumerate(services)]
    with protocol.programs([server_program()], *commands, **settings), asyncio.Runner() as runner:
        for port in services:
            protocol.until(partial(register, admin, port))
        client = httpx.AsyncClient(base_url=f"http://127.0.0.1:{ingress}", timeout=WITHIN_S, limits=httpx.Limits())

        def run(workload: Workload) -> float:
            return runner.run(submit_all(client, workload))

        protocol.until(lambda: run(Workload("", "", Shape.CHAIN, 1)))
        yield run


def server_program() -> str:
    """Find the server that the package for this machine holds."""
    (found,) = Path(sys.prefix).glob("node_modules/@restatedev/restate-server-*/bin/restate-server")
    return str(found)


def served(port: int, number: int, variant: str) -> list[str]:
    """Return the command of a process that serves."""
    return [
        *("env", f"BENCH_RESTATE_NUMBER={number}", f"BENCH_RESTATE_VARIANT={variant}"),
        *(sys.executable, "-m", "hypercorn", "--bind", f"127.0.0.1:{port}", "benchmarks.peers.restate:app"),
    ]


def register(admin: int, port: int) -> bool:
    """Tell the server of a process that serves."""
    deployment = {"uri": f"http://127.0.0.1:{port}", "force": True}
    answer = httpx.post(f"http://127.0.0.1:{admin}/deployments", json=deployment, timeout=10)
    return bool(answer.is_success)


if __name__ == "__main__":
    server = protocol.version_of(server_program(), r"(\d\S+)")
    protocol.serve(f"server {server}, SDK {version('restate-sdk')}", start)
