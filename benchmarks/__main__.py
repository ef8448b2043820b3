"""Compare this project with its peers, in one run: `uv run python -m benchmarks`.

Each peer is installed in an environment of its own, and started with two worker processes on this machine.
The results go to `benchmarks/results`, or where `--out` says: `peers.json`, `peers.md`, and a plot.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks import plotting, rounds, table
from benchmarks.catalogue import PEERS
from benchmarks.workloads import WORKLOADS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from benchmarks.rounds import Record

QUICK = ("chain-40", "fan-100", "fib10-40")


def main() -> None:
    """Run the benchmarks, print the tables, and save the results."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=5, help="rounds; in each, every peer runs every workload once")
    parser.add_argument("--only", type=names(PEERS), default=list(PEERS), metavar="PEER,…", help=", ".join(PEERS))
    parser.add_argument(
        "--workload", type=names(WORKLOADS), default=None, metavar="WORKLOAD,…", help=", ".join(WORKLOADS)
    )
    parser.add_argument("--quick", action="store_true", help=f"one round of {', '.join(QUICK)}, idle not watched")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results", metavar="FOLDER")
    arguments = parser.parse_args()
    peers = [PEERS[name] for name in arguments.only]
    workloads = [WORKLOADS[name] for name in arguments.workload or (QUICK if arguments.quick else WORKLOADS)]
    runs = 1 if arguments.quick else arguments.runs
    records = rounds.run(peers, workloads, runs, watch_idle=not arguments.quick)
    text = "\n\n".join(table.tables(peers, workloads, records))
    print(text)
    arguments.out.mkdir(parents=True, exist_ok=True)
    (arguments.out / "peers.md").write_text(text + "\n")
    (arguments.out / "peers.json").write_text(json.dumps(results(runs, records), indent=1, ensure_ascii=False))
    plotting.draw("peers", arguments.out)
    if "ours" in records and (records["ours"].missing or records["ours"].failures):
        sys.exit("this project failed")


def names(known: dict[str, Any]) -> Any:
    """Return a parser of names that are separated by commas."""

    def parse(text: str) -> Sequence[str]:
        given = text.split(",")
        for name in given:
            if name not in known:
                raise argparse.ArgumentTypeError(f"{name!r} is none of {', '.join(known)}")
        return given

    return parse


def results(runs: int, records: dict[str, Record]) -> dict[str, Any]:
    """Return all that was measured, and where and when."""
    return {
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "cores": os.cpu_count(),
        "python": platform.python_version(),
        "runs": runs,
        "workloads": {name: {"title": one.title, "tasks": one.tasks} for name, one in WORKLOADS.items()},
        "titles": {name: PEERS[name].title for name in records},
        "peers": rounds.as_json(records),
    }


if __name__ == "__main__":
    main()
