"""`satellite/exospherehost/run-command`: runs a program that the worker's RUN_COMMANDS allows."""

from __future__ import annotations

import json
import shutil
from typing import TYPE_CHECKING, Any

from exospherehost import ConfigurationError, LogicError, TransientError, satellite
from state_manager.config import settings
from workers.commands import command
from workers.commands.command import Captured

if TYPE_CHECKING:
    from collections.abc import Mapping

    from exospherehost import Context
    from workers.commands.command import Ended

_TEXT = {"type": "string", "pattern": "^[^\\u0000]*$"}
_EXIT_CODES = {"type": "array", "items": {"type": "integer", "minimum": -64, "maximum": 255}, "maxItems": 256}

SCHEMA = {
    "type": "object",
    "properties": {
        "command": {"type": "array", "items": _TEXT, "minItems": 1, "maxItems": 1000},
        "env": {
            "type": "object",
            "propertyNames": {"pattern": "^(?!LD_|DYLD_)[A-Za-z_][A-Za-z0-9_]*$"},
            "additionalProperties": _TEXT,
            "maxProperties": 100,
        },
        "stdin": {},
        "output": {"enum": ["text", "json"]},
        "max_output_bytes": {"type": "integer", "minimum": 0, "maximum": 64 * 2**20},
        "success_exit_codes": {**_EXIT_CODES, "minItems": 1},
        "retry_exit_codes": _EXIT_CODES,
    },
    "required": ["command"],
    "additionalProperties": False,
}

MAX_OUTPUT_BYTES = 256 * 1024
SHOWN_CHARACTERS = 500


@satellite("satellite/exospherehost/run-command", config_schema=SCHEMA)
async def run_command(context: Context) -> dict[str, Any]:
    """Run a program, and return its `exit_code`, `stdout`, `stderr`, and whether these were cut off.

    With `output: json`, `stdout` is the JSON value that it printed.
    """
    config = context.config
    arguments = config["command"]
    max_bytes = config.get("max_output_bytes", MAX_OUTPUT_BYTES)
    ended = await command.run(
        allowed_program(arguments[0], settings().run_commands),
        arguments,
        environment=config.get("env", {}),
        stdin=_stdin(config),
        stdout=Captured(max_bytes, context.log.info),
        stderr=Captured(max_bytes, context.log.warning),
    )
    _check_exit_code(ended, config)
    return {
        "exit_code": ended.exit_code,
        "stdout": _parsed(ended, max_bytes) if config.get("output") == "json" else ended.stdout.text,
        "stderr": ended.stderr.text,
        "stdout_truncated": ended.stdout.truncated,
        "stderr_truncated": ended.stderr.truncated,
    }


def allowed_program(name: str, allowed: tuple[str, ...]) -> str:
    """Return the path of a program that is allowed by exactly this name or path; else raise ConfigurationError."""
    if name not in allowed:
        listed = ", ".join(allowed) or "none"
        raise ConfigurationError(f"this worker may not run {name!r} (RUN_COMMANDS: {listed})")
    path = shutil.which(name)
    if path is None:
        raise ConfigurationError(f"{name!r} is not installed on this worker, or cannot be executed")
    return path


def _stdin(config: Mapping[str, Any]) -> bytes | None:
    if "stdin" not in config:
        return None
    given = config["stdin"]
    return (given if isinstance(given, str) else json.dumps(given, ensure_ascii=False)).encode("utf-8", "replace")


def _check_exit_code(ended: Ended, config: Mapping[str, Any]) -> None:
    code = ended.exit_code
    if code in config.get("success_exit_codes", [0]):
        return
    how = f"was ended by signal {-code}" if code < 0 else f"exited with {code}"
    said = ended.stderr.text.strip()[-SHOWN_CHARACTERS:]
    message = f"{config['command'][0]} {how}" + (f": {said}" if said else "")
    raise (TransientError if code in config.get("retry_exit_codes", ()) else LogicError)(message)


def _parsed(ended: Ended, max_bytes: int) -> Any:
    if ended.stdout.truncated:
        raise ConfigurationError(
            f"the program printed more than {max_bytes} bytes (max_output_bytes), and no whole JSON"
        )
    try:
        return json.loads(ended.stdout.text)
    except (ValueError, RecursionError) as error:
        raise LogicError(f"the program did not print JSON: {error}") from None
