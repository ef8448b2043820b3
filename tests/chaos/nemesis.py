"""The nemesis: injects faults of every kind into a running system, in a random order that a seed repeats."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import time
from collections import Counter
from typing import TYPE_CHECKING

import psutil

from tests.chaos.load import flush, terminate_sessions
from tests.chaos.proxy import Faults, Proxy
from tests.waiting import sleep, until

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.chaos.servers import KillableSystem
    from tests.processes import Process

PAUSE_S = (0.5, 2.0)
"""Least and longest pause between two faults, in which the system makes some progress."""


class Parts:
    """The processes of a system by name."""

    def __init__(self, starters: dict[str, Callable[[], Process]]) -> None:
        self._starters = starters
        self._running = {name: start() for name, start in starters.items()}

    def __getitem__(self, name: str) -> Process:
        return self._running[name]

    def restart_dead(self) -> None:
        """Start again what is dead, as a supervisor does."""
        for name, process in self._running.items():
            if process.returncode is not None:
                process.kill_group()
                self._running[name] = self._starters[name]()

    def choose(self, rng: random.Random, kind: str) -> Process:
        """Choose one of the parts whose names start with `kind`."""
        return self[rng.choice([name for name in self._starters if name.startswith(kind)])]

    def kill(self) -> None:
        """Kill all of them."""
        for process in self._running.values():
            process.kill_group()


class Nemesis:
    """Injects one fault after the other, each once before any a second time; `fired` counts them by name."""

    def __init__(self, system: KillableSystem, parts: Parts, database: Proxy, broker: Proxy, seed: int) -> None:
        self.fired: Counter[str] = Counter()
        self._system = system
        self._parts = parts
        self._database = database
        self._broker = broker
        self._rng = random.Random(seed)  # noqa: S311
        self._faults: dict[str, Callable[[], None]] = {
            "kill -9 of a worker's child": self._kill_child,
            "kill -9 of a worker": lambda: self._kill("worker"),
            "stop of a worker past its lease": self._stop_worker,
            "kill -9 of the API": lambda: self._kill("api"),
            "kill -9 of beat": lambda: self._kill("beat"),
            "kill -9 of everything": self._kill_everything,
            "flush of Redis": lambda: flush(self._system),
            "kill -9 of Redis": lambda: self._down(self._system.valkey.kill, self._system.valkey.start),
            "pause of Redis": lambda: self._pause(self._system.valkey.paused()),
            "kill -9 of PostgreSQL": lambda: self._down(self._system.postgres.kill, self._system.postgres.start),
            "restart of PostgreSQL": lambda: self._down(self._system.postgres.stop, self._system.postgres.start),
            "pause of PostgreSQL": lambda: self._pause(self._system.postgres.paused()),
            "sessions terminated": self._terminate_sessions,
            "connections to PostgreSQL reset": self._database.reset,
            "connections to Redis reset": self._broker.reset,
            "latency": self._delay,
            "answers of PostgreSQL cut": lambda: self._cut(self._database),
            "answers of Redis cut": lambda: self._cut(self._broker),
            "black hole before Redis": lambda: self._swallow(self._broker),
            "black hole before PostgreSQL": lambda: self._swallow(self._database),
        }

    @property
    def kinds(self) -> set[str]:
        """The names of all faults."""
        return set(self._faults)

    def run(self, seconds: float) -> None:
        """Inject faults until the time is over and each was injected; end with everything up."""
        end = time.monotonic() + seconds
        waiting: list[str] = []
        while time.monotonic() < end or not self.kinds.issubset(self.fired):
            if not waiting:
                waiting = sorted(self._faults)
                self._rng.shuffle(waiting)
            name = waiting.pop()
            print(f"{time.strftime('%H:%M:%S')} {name}", flush=True)
            self._faults[name]()
            self.fired[name] += 1
            sleep(self._rng.uniform(*PAUSE_S))
            self._parts.restart_dead()
        self._parts.restart_dead()

    def _kill(self, kind: str) -> None:
        self._parts.choose(self._rng, kind).kill_group()

    def _kill_child(self) -> None:
        for name in ("worker-1", "worker-2"):
            children = psutil.Process(self._parts[name].pid).children()
            if children:
                self._rng.choice(children).kill()
                return
        self._kill("worker")  # it is starting just now

    def _stop_worker(self) -> None:
        group = self._parts.choose(self._rng, "worker").pid
        with contextlib.suppress(ProcessLookupError):
            os.killpg(group, signal.SIGSTOP)
            sleep(self._rng.uniform(3, 5))
            os.killpg(group, signal.SIGCONT)

    def _kill_everything(self) -> None:
        self._parts.kill()
        self._system.valkey.kill()
        self._system.postgres.kill()
        self._system.valkey.start()
        self._system.postgres.start()

    def _down(self, end: Callable[[], None], start: Callable[[], None]) -> None:
        end()
        sleep(self._rng.uniform(0, 1))
        start()

    def _pause(self, paused: contextlib.AbstractContextManager[None]) -> None:
        with paused:
            sleep(self._rng.uniform(0.5, 2))

    def _terminate_sessions(self) -> None:
        def terminate() -> bool:
            """Tell whether there was a session to end: after everything was killed there is none for a moment."""
            self._parts.restart_dead()
            return terminate_sessions(self._system) > 0

        until(terminate, what="there are sessions to terminate")

    def _delay(self) -> None:
        for proxy in (self._database, self._broker):
            proxy.switch(Faults(there_s=0.01, back_s=0.01))
        sleep(2)
        for proxy in (self._database, self._broker):
            proxy.heal()

    def _cut(self, proxy: Proxy) -> None:
        before = proxy.counts["cut"]
        proxy.switch(Faults(cut_after=self._rng.randint(1, 2000), cuts=self._rng.randint(1, 5)))
        sleep(1)
        proxy.heal()
        if proxy.counts["cut"] == before:
            proxy.reset()

    def _swallow(self, proxy: Proxy) -> None:
        proxy.switch(Faults(black_hole=True))
        sleep(self._rng.uniform(0.5, 2))
        proxy.reset()
        proxy.heal()
