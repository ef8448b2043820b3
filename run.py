"""The whole State Manager on this machine, from one command.

python run.py                 serve until SIGTERM or Ctrl-C
python run.py CLUSTER.yaml    run one cluster, and print its final execution
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import replace
from pathlib import Path

from local.errors import CannotStart
from local.output import print_message
from local.serve import serve
from state_manager.config import load_settings
from state_manager.errors import ConfigurationFault

HELP = """\
With CLUSTER, standard output gets the final execution as JSON; of a long one, how it and its satellites ended.
Progress and messages go to standard error, and the logs of the parts too, unless it is a terminal: then to files
in EXOSPHERE_HOME.

exit codes:
  0    stopped as asked; with CLUSTER: the execution completed
  1    with CLUSTER: it failed, was cancelled or interrupted; or the system does not start
  2    refused: the command line, the settings or the cluster, with the reason
"""


def parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    described = argparse.ArgumentParser(
        description="Run the ExosphereHost State Manager on this machine: serve, or run one cluster and stop.",
        epilog=HELP,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    described.add_argument("cluster", nargs="?", type=Path, help="a YAML or JSON document to run, instead of serving")
    described.add_argument("--workers", type=int, metavar="N", help="children of the worker (default: one a core)")
    described.add_argument("--full", action="store_true", help="print all of the final execution, however long it is")
    return described


def main() -> int:
    """Carry out the command line, and return the exit code."""
    arguments = parser().parse_args()
    if arguments.workers is not None and arguments.workers < 1:
        parser().error("--workers must be at least 1")
    try:
        settings = load_settings()
        if arguments.workers is not None:
            settings = replace(settings, worker_concurrency=arguments.workers)
        if arguments.cluster is None:
            return serve(settings)
        # Not above: serving needs no client, whose libraries take a fifth of a second to load.
        from local.run_cluster import run_cluster  # noqa: PLC0415

        return run_cluster(settings, arguments.cluster, full=arguments.full)
    except ConfigurationFault as fault:
        print_message(str(fault))
        return 2
    except CannotStart as fault:
        print_message(str(fault))
        return fault.code


if __name__ == "__main__":
    sys.exit(main())
