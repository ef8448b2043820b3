"""Latency and memory by the number of watchers: `uv run python -m benchmarks.watchers [CLIENTS …]`.

So many WebSocket clients watch one execution of 500 satellites of 20 ms, in 20 chains, on the system of `run.py`. Each
must get every event in order. Latency is from an event's `at`, a moment before its commit, to the client's socket;
all clients are in this one process, on the same two cores as the system. Memory is what the API's process grew by
while the clients connected, before anything happened.
"""

from __future__ import annotations

import asyncio
import json
import os
import resource
import statistics
import sys
import tempfile
import time
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import psutil

from benchmarks import websocket
from benchmarks.server import Server, state_manager

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

CLIENTS = (10, 100, 1_000, 2_500, 5_000)
CHAINS, LINKS, SECONDS = 20, 25, 0.02
CONNECTING_AT_ONCE = 100
WITHIN_S = 120.0


@dataclass
class Ledger:
    """The events that all clients received. Clients share frames, so each frame is parsed once."""

    parsed: dict[bytes, tuple[int, int, list[float]]] = field(default_factory=dict)
    latencies_s: list[float] = field(default_factory=list)
    frames: int = 0

    def read(self, payload: bytes, received_at: float) -> tuple[int, int]:
        """Return the first and the last seq of a frame, 0 and the seq for a snapshot."""
        known = self.parsed.get(payload)
        if known is None:
            known = self.parsed[payload] = self._parse(json.loads(payload))
        self.frames += 1
        self.latencies_s += [received_at - at for at in known[2]]
        return known[:2]

    @staticmethod
    def _parse(message: dict[str, Any]) -> tuple[int, int, list[float]]:
        if message["type"] == "snapshot":
            return 0, message["seq"], []
        events = message["events"] if message["type"] == "events" else [message]
        seqs = [one["seq"] for one in events]
        assert seqs == list(range(seqs[0], seqs[-1] + 1))
        return seqs[0], seqs[-1], [datetime.fromisoformat(one["at"]).timestamp() for one in events]


async def watch(server: Server, execution_id: str, ledger: Ledger, connecting: asyncio.Semaphore, ready: Any) -> int:
    """Watch to the end; return the seq of the last event. Raises where one is missing or comes twice."""
    address = urlsplit(server.uri)
    async with connecting:
        reader, writer = await asyncio.open_connection(address.hostname, address.port)
        writer.write(websocket.handshake(server.uri, f"/ws/executions/{execution_id}"))
        assert b"101" in await reader.readline()
        await reader.readuntil(b"\r\n\r\n")
        _, seq = ledger.read(await payload_of(reader), 0.0)
    ready.release()
    while (payload := await payload_of(reader)) is not None:
        first, last = ledger.read(payload, time.time())
        assert first == seq + 1, f"after {seq} came {first}"
        seq = last
    writer.close()
    return seq


async def payload_of(reader: asyncio.StreamReader) -> Any:
    """Read a frame; None for a close."""
    while True:
        opcode, length = await reader.readexactly(2)
        if length >= 126:
            length = int.from_bytes(await reader.readexactly(2 if length == 126 else 8), "big")
        payload = await reader.readexactly(length)
        if opcode == 0x88:
            assert payload[:2] == (1000).to_bytes(2, "big"), payload
            return None
        if opcode == 0x81:
            return payload


async def measure(server: Server, clients: int) -> list[str]:
    """Have so many clients watch one execution; return the cells of its row."""
    ledger = Ledger()
    api = [one for one in psutil.Process(server.pid).children(recursive=True) if "gunicorn" in " ".join(one.cmdline())]
    with tempfile.TemporaryDirectory() as folder:
        gate = Path(folder) / "open"
        satellites = list(chains(gate))
        execution_id = server.submit(satellites)
        before, started = memory(api), time.perf_counter()
        connecting, ready = asyncio.Semaphore(CONNECTING_AT_ONCE), asyncio.Semaphore(0)
        watching = [asyncio.create_task(watch(server, execution_id, ledger, connecting, ready)) for _ in range(clients)]
        for _ in range(clients):
            await ready.acquire()
        connected_s, grown = time.perf_counter() - started, memory(api) - before
        gate.touch()
        ends = await asyncio.wait_for(asyncio.gather(*watching), WITHIN_S)
    last = server.call(f"/executions/{execution_id}")["seq"]
    assert set(ends) == {last}, f"some ended at {set(ends)} of {last}"
    cuts = statistics.quantiles(ledger.latencies_s, n=100)
    return [
        f"{clients:,}",
        f"{connected_s:.1f}",
        f"{grown / clients / 1024:.0f}",
        f"{1000 * statistics.median(ledger.latencies_s):.1f}",
        f"{1000 * cuts[98]:.1f}",
        f"{1000 * max(ledger.latencies_s):.1f}",
        f"{len(ledger.latencies_s) / max(ledger.frames - clients, 1):.1f}",
    ]


def chains(gate: Path) -> Iterator[dict[str, Any]]:
    """Return 500 satellites in chains, behind one that waits until the gate's file is there."""
    yield {"name": "gate", "uses": "satellite/bench/gate", "config": {"file": str(gate)}}
    for chain in range(CHAINS):
        before = "gate"
        for link in range(LINKS):
            name = f"link-{chain}-{link}"
            yield {
                "name": name,
                "uses": "satellite/exospherehost/sleep",
                "config": {"seconds": SECONDS},
                "dependencies": [before],
            }
            before = name


def memory(processes: Sequence[psutil.Process]) -> int:
    """Add up what these processes have for themselves, in bytes."""
    return sum(one.memory_full_info().uss for one in processes)


def main() -> None:
    """Print a row for each number of clients."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    numbers = [int(one) for one in sys.argv[1:]] or CLIENTS
    with state_manager(SATELLITE_MODULES="benchmarks.satellites", LOG_LEVEL="warning") as server:
        print(f"{os.cpu_count()} cores\n")
        print("| clients | connected in, s | KiB a client | median, ms | p99, ms | max, ms | events a frame |")
        print("|---|---|---|---|---|---|---|")
        for clients in numbers:
            print("| " + " | ".join(asyncio.run(measure(server, clients))) + " |", flush=True)


if __name__ == "__main__":
    main()
