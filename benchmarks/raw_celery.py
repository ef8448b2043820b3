"""The peer: Celery's own canvas with Redis as broker and result backend, at its defaults. Not durable."""

from __future__ import annotations

import os
import time

from celery import Celery, chain, chord, group

REDIS = os.environ.get("BENCH_REDIS", "redis://localhost")

app = Celery("raw", broker=REDIS, backend=REDIS, set_as_current=False)
app.conf.broker_connection_retry_on_startup = True


@app.task
def nothing(*_: object) -> None:
    """Do nothing."""


def run_chain(length: int) -> float:
    """Return the seconds that a chain takes, from its sending to the last result."""
    started = time.perf_counter()
    chain([nothing.si() for _ in range(length)], app=app).apply_async().get(timeout=120)
    return time.perf_counter() - started


def run_fan(width: int) -> float:
    """Return the seconds of one task, then `width` side by side, then one that waits for them."""
    started = time.perf_counter()
    parts = chord(group([nothing.si() for _ in range(width)], app=app), nothing.si(), app=app)
    chain(nothing.si(), parts, app=app).apply_async().get(timeout=120)
    return time.perf_counter() - started
