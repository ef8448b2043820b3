"""The commands of `exosphere`. Results go to standard output, everything else to standard error."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from contextlib import contextmanager, suppress
from enum import IntEnum
from typing import TYPE_CHECKING, Any

from exospherehost.command.arguments import parser
from exospherehost.command.display import display_on, follow
from exospherehost.command.lines import printable
from exospherehost.command.report import execution_details, report, satellite_details
from exospherehost.command.secret_value import read_value
from exospherehost.files import file_name
from exospherehost.state_manager import (
    Conflict,
    Execution,
    InvalidCluster,
    InvalidRequest,
    NotFound,
    StateManagerClient,
    StateManagerError,
)

if TYPE_CHECKING:
    from argparse import Namespace
    from collections.abc import AsyncIterable, Awaitable, Callable, Iterator, Mapping
    from pathlib import Path

    from exospherehost.state_manager import LogLine, Satellite


class ExitCode(IntEnum):
    """The exit codes; `arguments.EXIT_CODES` explains them to users."""

    OK = 0
    EXECUTION_FAILED = 1
    REFUSED = 2
    UNREACHABLE = 3
    INTERRUPTED = 130
    BROKEN_PIPE = 141


class UsageError(Exception):
    """The command cannot run with these arguments."""


def main() -> int:
    """Run the command line, and return the exit code."""
    arguments = parser().parse_args()
    try:
        return asyncio.run(_run(arguments))
    except KeyboardInterrupt:
        return ExitCode.INTERRUPTED
    except BrokenPipeError:
        # The reader of standard output is gone; the interpreter must not fail by flushing it at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return ExitCode.BROKEN_PIPE
    except InvalidCluster as error:
        _print_error("\n  ".join([f"{arguments.cluster} was refused:", *str(error).splitlines()]))
        return ExitCode.REFUSED
    except (Conflict, InvalidRequest, UsageError) as error:
        _print_error(str(error))
        return ExitCode.REFUSED
    except StateManagerError as error:
        _print_error(str(error))
        return ExitCode.UNREACHABLE


async def _run(arguments: Namespace) -> int:
    try:
        client = StateManagerClient(arguments.uri, retry_for_s=arguments.retry_for)
    except ValueError as error:
        raise UsageError(str(error)) from None
    async with client:
        return await _COMMANDS[arguments.command](client, arguments)


async def _submit(client: StateManagerClient, arguments: Namespace) -> int:
    try:
        document = sys.stdin.buffer.read() if str(arguments.cluster) == "-" else arguments.cluster
        execution_id = await client.submit_cluster(document, idempotency_key=arguments.key)
    except OSError as error:
        raise UsageError(f"{arguments.cluster} cannot be read: {error.strerror}") from None
    if arguments.watch:
        return await _follow(client, execution_id, arguments, submitted_just_now=True)
    if arguments.wait:
        with _hint_if_still_running(execution_id):
            execution = await client.wait(execution_id)
        _print(execution if arguments.json else report(execution))
        return _exit_code(execution)
    with _hint_if_still_running(execution_id):
        _print(await client.get_execution(execution_id) if arguments.json else execution_id)
    return ExitCode.OK


async def _watch(client: StateManagerClient, arguments: Namespace) -> int:
    return await _follow(client, arguments.execution_id, arguments)


async def _show(client: StateManagerClient, arguments: Namespace) -> int:
    found = await _find(client, arguments.id)
    if arguments.json:
        _print(found)
    else:
        _print(execution_details(found) if isinstance(found, Execution) else satellite_details(found))
    return ExitCode.OK


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
    return ExitCode.OK


async def _cancel(client: StateManagerClient, arguments: Namespace) -> int:
    execution = await client.cancel_execution(arguments.execution_id)
    _print(execution if arguments.json else f"{execution.execution_id}  {execution.status}")
    return ExitCode.OK


async def _retry(client: StateManagerClient, arguments: Namespace) -> int:
    retried = await (client.retry_satellite if arguments.satellite else client.retry_execution)(arguments.id)
    _print(retried if arguments.json else f"{arguments.id}  {retried.status}")
    return ExitCode.OK


async def _logs(client: StateManagerClient, arguments: Namespace) -> int:
    async for line in await _log_lines(client, arguments.id, arguments.name):
        _print(line if arguments.json else _format_log_line(line))
    return ExitCode.OK


async def _secrets(client: StateManagerClient, arguments: Namespace) -> int:
    match arguments.action:
        case "set":
            await client.set_secret(arguments.project, arguments.name, _secret_value(arguments.from_file))
        case "delete":
            await client.delete_secret(arguments.project, arguments.name)
        case _:
            for one in await client.list_secrets(arguments.project):
                _print(one if arguments.json else f"{one.updated_at}  {one.name}")
    return ExitCode.OK


def _secret_value(file: Path | None) -> str:
    try:
        return read_value(file)
    except OSError as error:
        raise UsageError(f"{file} cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise UsageError("the value is not text in UTF-8: encode it in base64") from None


async def _log_lines(client: StateManagerClient, some_id: str, name: str | None) -> AsyncIterable[LogLine]:
    if name is not None:
        execution = await client.get_execution(some_id)
        try:
            return client.logs(execution.satellite(name).satellite_id)
        except KeyError:
            names = ", ".join(one.name for one in execution.satellites[:10])
            raise UsageError(f"the execution has no satellite {name!r}, but {names}") from None
    found = await _find(client, some_id)
    return client.execution_logs(some_id) if isinstance(found, Execution) else client.logs(some_id)


async def _signal(client: StateManagerClient, arguments: Namespace) -> int:
    text = sys.stdin.read() if arguments.payload == "-" else arguments.payload
    try:
        payload = json.loads(text)
    except ValueError as error:
        raise UsageError(f"the payload is no JSON ({error}); a text has quotes of its own: '\"{text[:20]}\"'") from None
    sent = await client.signal(arguments.execution_id, arguments.name, payload, idempotency_key=arguments.key)
    received = f"given to satellite {sent.satellite_id}" if sent.satellite_id else "kept until a satellite waits for it"
    _print(sent if arguments.json else received)
    return ExitCode.OK


async def _artifacts(client: StateManagerClient, arguments: Namespace) -> int:
    async for one in client.list_artifacts(arguments.execution_id):
        if arguments.name not in {None, one.name}:
            continue
        if arguments.to is not None:
            path = arguments.to / file_name(one.satellite) / file_name(one.name)
            try:
                path.parent.mkdir(parents=True, exist_ok=True)
                await client.download_artifact(one, path)
            except OSError as error:
                raise UsageError(f"{path} cannot be written: {error.strerror}") from None
            row = str(path)
        else:
            row = f"{one.id}  {one.size:>12}  {printable(one.satellite)}  {printable(one.name)}"
        _print(one if arguments.json else row)
    return ExitCode.OK


async def _find(client: StateManagerClient, some_id: str) -> Execution | Satellite:
    """Read the execution or satellite with this id: both are UUIDs, so only the server can tell."""
    for get in (client.get_execution, client.get_satellite):
        with suppress(NotFound):
            return await get(some_id)
    raise NotFound(f"there is no execution or satellite {some_id}")


_COMMANDS: Mapping[str, Callable[[StateManagerClient, Namespace], Awaitable[int]]] = {
    "submit": _submit,
    "watch": _watch,
    "show": _show,
    "list": _list,
    "cancel": _cancel,
    "retry": _retry,
    "logs": _logs,
    "signal": _signal,
    "artifacts": _artifacts,
    "secrets": _secrets,
}


async def _follow(
    client: StateManagerClient, execution_id: str, arguments: Namespace, *, submitted_just_now: bool = False
) -> int:
    display = display_on(sys.stdout, as_json=arguments.json)
    with _hint_if_still_running(execution_id):
        execution = await follow(client, execution_id, display, submitted_just_now=submitted_just_now)
    if not arguments.json:
        _print(report(execution))
    return _exit_code(execution)


@contextmanager
def _hint_if_still_running(execution_id: str) -> Iterator[None]:
    """Print the execution's id and how to continue with it, if the command ends before the execution."""
    try:
        yield
    except NotFound:
        raise
    except (asyncio.CancelledError, StateManagerError, BrokenPipeError):
        _print_error(
            f"the execution is still running: exosphere watch {execution_id} follows it, "
            f"exosphere cancel {execution_id} ends it"
        )
        raise


def _exit_code(execution: Execution) -> int:
    return ExitCode.OK if execution.status == "completed" else ExitCode.EXECUTION_FAILED


def _format_log_line(line: LogLine) -> str:
    """Format a log line; the lines of a message after its first are indented."""
    message = "\n    ".join(printable(part) for part in line.message.splitlines())
    subject = f"{printable(line.name)}  " if "name" in line else ""
    return f"{line.at}  {subject}attempt {line.attempt}  {line.level:8}  {message}"


def _print(output: str | Mapping[str, Any]) -> None:
    text = output if isinstance(output, str) else json.dumps(output, ensure_ascii=False)
    print(text, flush=True)  # noqa: T201  (this is what the command is for)


def _print_error(text: str) -> None:
    print(f"exosphere: {text}", file=sys.stderr)  # noqa: T201
