"""What each command of `exosphere` does. Results go to standard output, everything else to standard error."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from exospherehost.command.arguments import parser
from exospherehost.command.display import display_on, follow
from exospherehost.command.lines import printable
from exospherehost.command.report import report
from exospherehost.state_manager import (
    Conflict,
    InvalidCluster,
    InvalidRequest,
    NotFound,
    StateManagerClient,
    StateManagerError,
)

if TYPE_CHECKING:
    from argparse import Namespace
    from collections.abc import Awaitable, Callable, Iterator, Mapping

    from exospherehost.state_manager import Execution

DONE, FAILED, REFUSED, NOT_THERE, INTERRUPTED, UNREAD = 0, 1, 2, 3, 130, 141


class Refused(Exception):
    """The command cannot be carried out as given."""


def main() -> int:
    """Carry the command line out, and give the exit code."""
    arguments = parser().parse_args()
    try:
        return asyncio.run(_carry_out(arguments))
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:
        # Whoever read standard output has enough; the interpreter must not try to flush it on its way out.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return UNREAD
    except InvalidCluster as error:
        _complain("\n  ".join([f"{arguments.cluster} was refused:", *str(error).splitlines()]))
        return REFUSED
    except (Conflict, InvalidRequest, Refused) as error:
        _complain(str(error))
        return REFUSED
    except StateManagerError as error:
        _complain(str(error))
        return NOT_THERE


async def _carry_out(arguments: Namespace) -> int:
    try:
        client = StateManagerClient(arguments.uri, patience_s=arguments.patience)
    except ValueError as error:
        raise Refused(str(error)) from None
    async with client:
        return await _ACTIONS[arguments.command](client, arguments)


async def _submit(client: StateManagerClient, arguments: Namespace) -> int:
    try:
        document = sys.stdin.buffer.read() if str(arguments.cluster) == "-" else arguments.cluster
        execution_id = await client.submit_cluster(document, idempotency_key=arguments.key)
    except OSError as error:
        raise Refused(f"{arguments.cluster} cannot be read: {error.strerror}") from None
    if arguments.watch:
        return await _show(client, execution_id, arguments, submitted_just_now=True)
    if arguments.wait:
        with _going_on(execution_id):
            execution = await client.wait(execution_id)
        _print(execution if arguments.json else report(execution))
        return _code(execution)
    with _going_on(execution_id):
        _print(await client.get_execution(execution_id) if arguments.json else execution_id)
    return DONE


async def _watch(client: StateManagerClient, arguments: Namespace) -> int:
    return await _show(client, arguments.execution_id, arguments)


async def _list(client: StateManagerClient, arguments: Namespace) -> int:
    executions = client.list_executions(
        project=arguments.project,
        cluster_id=arguments.cluster,
        status=arguments.status,
        created_after=arguments.after,
        created_before=arguments.before,
        limit=arguments.limit,
    )
    async for one in executions:
        row = f"{one.execution_id}  {one.created_at}  {one.status:9}  {one.progress['percent']:3.0f}%  {one.cluster_id}"
        _print(one if arguments.json else row)
    return DONE


async def _cancel(client: StateManagerClient, arguments: Namespace) -> int:
    execution = await client.cancel_execution(arguments.execution_id)
    _print(execution if arguments.json else f"{execution.execution_id}  {execution.status}")
    return DONE


async def _retry(client: StateManagerClient, arguments: Namespace) -> int:
    again = await (client.retry_satellite if arguments.satellite else client.retry_execution)(arguments.id)
    _print(again if arguments.json else f"{arguments.id}  {again.status}")
    return DONE


async def _logs(client: StateManagerClient, arguments: Namespace) -> int:
    satellite_id = arguments.id
    if arguments.name is not None:
        execution = await client.get_execution(arguments.id)
        try:
            satellite_id = execution.satellite(arguments.name).satellite_id
        except KeyError:
            names = ", ".join(one.name for one in execution.satellites[:10])
            raise Refused(f"the execution has no satellite {arguments.name!r}, but {names}") from None
    async for one in client.logs(satellite_id):
        message = "\n    ".join(printable(line) for line in one.message.splitlines())
        row = f"{one.at}  attempt {one.attempt}  {one.level:8}  {message}"
        _print(one if arguments.json else row)
    return DONE


_ACTIONS: Mapping[str, Callable[[StateManagerClient, Namespace], Awaitable[int]]] = {
    "submit": _submit,
    "watch": _watch,
    "list": _list,
    "cancel": _cancel,
    "retry": _retry,
    "logs": _logs,
}


async def _show(
    client: StateManagerClient, execution_id: str, arguments: Namespace, *, submitted_just_now: bool = False
) -> int:
    display = display_on(sys.stdout, as_json=arguments.json)
    with _going_on(execution_id):
        execution = await follow(client, execution_id, display, submitted_just_now=submitted_just_now)
    if not arguments.json:
        _print(report(execution))
    return _code(execution)


@contextmanager
def _going_on(execution_id: str) -> Iterator[None]:
    """Say where we end before the execution that it goes on, and what its id is."""
    try:
        yield
    except NotFound:
        raise
    except (asyncio.CancelledError, StateManagerError, BrokenPipeError):
        one = execution_id
        _complain(f"the execution goes on; exosphere watch {one} shows it, exosphere cancel {one} ends it")
        raise


def _code(execution: Execution) -> int:
    return DONE if execution.status == "completed" else FAILED


def _print(what: str | Mapping[str, Any]) -> None:
    text = what if isinstance(what, str) else json.dumps(what, ensure_ascii=False)
    print(text, flush=True)  # noqa: T201  (this is what it is for)


def _complain(text: str) -> None:
    print(f"exosphere: {text}", file=sys.stderr)  # noqa: T201
