"""The whole State Manager on this machine, from one command.

python run.py                 serve until SIGTERM or Ctrl-C
python run.py CLUSTER.yaml    run one cluster, print the final execution as JSON
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import replace
from pathlib import Path

from local.serve import serve
from local.system import CannotStart, say
from state_manager.config import ConfigurationFault, load_settings


def main() -> int:
    """Read the arguments; exit 2 when it cannot start as told."""
    parser = argparse.ArgumentParser(description="Run the ExosphereHost State Manager on this machine.")
    parser.add_argument("cluster", nargs="?", type=Path, help="a YAML or JSON document to run, instead of serving")
    parser.add_argument("--workers", type=int, metavar="N", help="children of the worker (default: one a core)")
    arguments = parser.parse_args()
    if arguments.workers is not None and arguments.workers < 1:
        parser.error("--workers must be at least 1")
    try:
        settings = load_settings()
        if arguments.workers is not None:
            settings = replace(settings, worker_concurrency=arguments.workers)
        if arguments.cluster is None:
            return serve(settings)
        # Not above: serving needs no client, whose libraries take a fifth of a second to load.
        from local.run_cluster import run_cluster  # noqa: PLC0415

        return run_cluster(settings, arguments.cluster)
    except ConfigurationFault as fault:
        say(str(fault))
        return 2
    except CannotStart as fault:
        say(str(fault))
        return fault.code


if __name__ == "__main__":
    sys.exit(main())
