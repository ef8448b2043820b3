"""The command line of `exosphere`."""

from __future__ import annotations

import argparse
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from exospherehost.state_manager.client import DEFAULT_URI

if TYPE_CHECKING:
    Commands: TypeAlias = argparse._SubParsersAction[argparse.ArgumentParser]  # noqa: SLF001  (it has no other name)

EXIT_CODES = """\
exit codes:
  0    success; with --wait, --watch and watch: the execution completed
  1    the execution failed or was cancelled
  2    refused: the command line or the document is invalid (every fault is named), or the present state forbids it
  3    not found, not reachable, or not allowed
  130  interrupted by Ctrl-C; an execution that was watched keeps running
  141  the reader of standard output has closed it; an execution that was watched keeps running
"""


def parser() -> argparse.ArgumentParser:
    """Return the parser, which stores the command's name in `command`."""
    shared = _shared()
    root = argparse.ArgumentParser(
        prog="exosphere",
        description="Submit clusters to the ExosphereHost State Manager, watch executions, and read their results.",
        epilog=EXIT_CODES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = root.add_subparsers(dest="command", required=True, metavar="COMMAND")

    submit = commands.add_parser("submit", parents=[shared], help="submit a cluster, print the execution's id")
    submit.add_argument("cluster", type=Path, help="a YAML or JSON document; - reads standard input")
    submit.add_argument(
        "--key", help="idempotency key: submitting the document again with this key returns the same execution"
    )
    mode = submit.add_mutually_exclusive_group()
    mode.add_argument("--wait", action="store_true", help="wait for the execution's end, then print a report")
    mode.add_argument(
        "--watch", action="store_true", help="show the execution's progress until its end, then print a report"
    )

    watch = commands.add_parser("watch", parents=[shared], help="show an execution's progress until its end")
    watch.add_argument("execution_id")

    show = commands.add_parser("show", parents=[shared], help="print a report of an execution or a satellite")
    show.add_argument("id", help="the id of an execution or a satellite")

    listing = commands.add_parser("list", parents=[shared], help="list executions, newest first")
    listing.add_argument("--project")
    listing.add_argument("--cluster", help="the cluster's identifier, as project/name")
    listing.add_argument("--status", choices=("pending", "running", "completed", "failed", "cancelled"))
    listing.add_argument("--after", type=_time, metavar="TIME", help="submitted at or after, ISO 8601")
    listing.add_argument("--before", type=_time, metavar="TIME", help="submitted before, ISO 8601")
    listing.add_argument("--limit", type=_count, default=20, help="the largest number of rows (default: 20)")

    cancel = commands.add_parser("cancel", parents=[shared], help="cancel an execution")
    cancel.add_argument("execution_id")

    retry = commands.add_parser("retry", parents=[shared], help="run the failed satellites of a failed execution again")
    retry.add_argument("id", help="the id of an execution; with --satellite, of a satellite")
    retry.add_argument("--satellite", action="store_true", help="run one satellite again")

    logs = commands.add_parser("logs", parents=[shared], help="print what satellites logged and printed")
    logs.add_argument("id", help="the id of a satellite, or of an execution: all its satellites, merged by time")
    logs.add_argument("name", nargs="?", help="only the execution's satellite of this name")

    signal = commands.add_parser("signal", parents=[shared], help="send a signal to a satellite that waits for it")
    signal.add_argument("execution_id")
    signal.add_argument("name")
    signal.add_argument("payload", nargs="?", default="null", help="a JSON value (default: null); - reads it")
    signal.add_argument("--key", help="idempotency key: sending it again with this key sends it once")

    artifacts = commands.add_parser(
        "artifacts", parents=[shared], help="list what an execution's satellites have kept, or download it"
    )
    artifacts.add_argument("execution_id")
    artifacts.add_argument("name", nargs="?", help="only artifacts of this name")
    artifacts.add_argument(
        "--to", type=Path, metavar="FOLDER", help="download them, each as FOLDER/SATELLITE/NAME, and print the paths"
    )
    _add_secrets(commands, shared)
    return root


def _add_secrets(commands: Commands, shared: argparse.ArgumentParser) -> None:
    """Add `secrets set`, `list` and `delete`, whose name is stored in `action`."""
    secrets = commands.add_parser("secrets", help="set, list and delete the secrets of a project")
    actions = secrets.add_subparsers(dest="action", required=True, metavar="ACTION")
    setting = actions.add_parser(
        "set",
        parents=[shared],
        help="set a secret: its value is read from standard input, or asked for on a terminal",
        description="The value is not an argument: command lines are seen by other users, and kept by shells.",
    )
    setting.add_argument("--from-file", type=Path, metavar="FILE", help="read the value from a file")
    listing = actions.add_parser("list", parents=[shared], help="list the names of a project's secrets")
    deletion = actions.add_parser("delete", parents=[shared], help="delete a secret")
    for action in (setting, listing, deletion):
        action.add_argument("project")
    for action in (setting, deletion):
        action.add_argument("name")


def _shared() -> argparse.ArgumentParser:
    shared = argparse.ArgumentParser(add_help=False)
    shared.add_argument("--json", action="store_true", help="print JSON, one object a line")
    shared.add_argument("--uri", help=f"the State Manager (default: EXOSPHERE_STATE_MANAGER_URI, else {DEFAULT_URI})")
    shared.add_argument(
        "--retry-for",
        type=_seconds,
        default=30.0,
        metavar="SECONDS",
        help="how long to retry while the State Manager is unavailable (default: 30)",
    )
    return shared


def _time(text: str) -> datetime:
    """Parse a time; one without a zone is UTC."""
    try:
        time = datetime.fromisoformat(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not a time in ISO 8601, such as 2026-11-24T14:06") from None
    return time if time.tzinfo else time.replace(tzinfo=UTC)


def _count(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a positive whole number")
    return int(text)


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = -1.0
    if not 0 <= seconds < float("inf"):
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of seconds")
    return seconds
