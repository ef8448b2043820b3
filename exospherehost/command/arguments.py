"""The command line of `exosphere`."""

from __future__ import annotations

import argparse
from datetime import UTC, datetime
from pathlib import Path

from exospherehost.state_manager.client import DEFAULT_URI

EXIT_CODES = """\
exit codes:
  0    done; where it waited, the execution completed
  1    the execution failed or was cancelled
  2    refused: the command line, the document (every fault is named), or what the present state does not allow
  3    not found, not reachable, or not allowed
  130  interrupted; an execution that was watched goes on
  141  nobody reads standard output any more; an execution that was watched goes on
"""


def parser() -> argparse.ArgumentParser:
    """Describe the command line; each command's name is in `command`."""
    shared = _shared()
    whole = argparse.ArgumentParser(
        prog="exosphere",
        description="Submit clusters to the ExosphereHost State Manager, watch them, and take what came of them.",
        epilog=EXIT_CODES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = whole.add_subparsers(dest="command", required=True, metavar="COMMAND")

    submit = commands.add_parser("submit", parents=[shared], help="submit a cluster, print the execution's id")
    submit.add_argument("cluster", type=Path, help="a YAML or JSON document; - reads standard input")
    submit.add_argument("--key", help="idempotency key: the same key and document again are the same execution")
    until = submit.add_mutually_exclusive_group()
    until.add_argument("--wait", action="store_true", help="wait for its end, then print what came of it")
    until.add_argument("--watch", action="store_true", help="show what happens until its end")

    watch = commands.add_parser("watch", parents=[shared], help="show what happens in an execution until its end")
    watch.add_argument("execution_id")

    listing = commands.add_parser("list", parents=[shared], help="list executions, newest first")
    listing.add_argument("--project")
    listing.add_argument("--cluster", help="the cluster's identifier, as project/name")
    listing.add_argument("--status", choices=("pending", "running", "completed", "failed", "cancelled"))
    listing.add_argument("--after", type=_moment, metavar="TIME", help="submitted at or after, ISO 8601")
    listing.add_argument("--before", type=_moment, metavar="TIME", help="submitted before, ISO 8601")
    listing.add_argument("--limit", type=_count, default=20, help="how many at most (default: 20)")

    cancel = commands.add_parser("cancel", parents=[shared], help="cancel an execution")
    cancel.add_argument("execution_id")

    retry = commands.add_parser("retry", parents=[shared], help="resume a failed execution from where it failed")
    retry.add_argument("id", help="an execution, or with --satellite a satellite")
    retry.add_argument("--satellite", action="store_true", help="try this one satellite again")

    logs = commands.add_parser("logs", parents=[shared], help="print what a satellite logged and printed")
    logs.add_argument("id", help="a satellite, or an execution where a name follows")
    logs.add_argument("name", nargs="?", help="the satellite's name in the execution")
    return whole


def _shared() -> argparse.ArgumentParser:
    shared = argparse.ArgumentParser(add_help=False)
    shared.add_argument("--json", action="store_true", help="print JSON, one object a line")
    shared.add_argument("--uri", help=f"the State Manager's (default: EXOSPHERE_STATE_MANAGER_URI, else {DEFAULT_URI})")
    shared.add_argument(
        "--patience",
        type=_seconds,
        default=30.0,
        metavar="SECONDS",
        help="how long to try again while it does not answer (default: 30)",
    )
    return shared


def _moment(text: str) -> datetime:
    """Read a time; one without a zone is UTC."""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is no time in ISO 8601, such as 2026-11-24T14:06") from None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _count(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is no whole number from 1 on")
    return int(text)


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = -1.0
    if not 0 <= seconds < float("inf"):
        raise argparse.ArgumentTypeError(f"{text!r} is no number of seconds")
    return seconds
