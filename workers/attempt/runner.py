"""The run of one attempt of a satellite, from its claim to its outcome. Touches neither Celery nor the database.

What a satellite returns, raises and reports leaves this module without the secrets that it has read.
"""

from __future__ import annotations

import inspect
import json
import logging
import random
import time
import traceback
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING, Any

from exospherehost import ConfigurationError, Context, LogicError, Prune, RequeueAfter
from exospherehost.artifacts import Artifacts
from exospherehost.errors import kind_of
from exospherehost.store import Store
from state_manager.config import settings
from state_manager.expansion import is_parent
from state_manager.retry import RetryPolicy
from state_manager.states import SatelliteStatus, SkipReason
from state_manager.store.transitions import Outcome
from workers import registry
from workers.attempt.artifacts import KeptArtifacts
from workers.attempt.dynamic import ConditionFailed, Dynamic
from workers.attempt.interrupts import Interrupted, Reason, shielded
from workers.attempt.logs import LOGGER, capture, printable
from workers.attempt.redaction import Redactor
from workers.attempt.resources import Meter
from workers.attempt.secrets import AttemptSecrets
from workers.attempt.shared_values import SharedValues

if TYPE_CHECKING:
    from state_manager.notifications import Notifier
    from state_manager.store.transitions import Claimed
    from workers.attempt.interrupts import Interruptible
    from workers.attempt.watchdog import Watchdog

ERROR_CHARACTERS = 10_000
TRACEBACK_CHARACTERS = 100_000
PROGRESS_CHARACTERS = 1_000

HEADROOM_LEVELS = 150
"""Levels of nesting reserved for the JSON that an output becomes a part of: Python parses about a thousand."""


class TimedOut(TimeoutError):
    """The satellite did not finish within its timeout."""


class Redacted(Exception):
    """The failure of a satellite that has read secrets, which its own exception may hold."""


@dataclass(frozen=True, slots=True)
class Finished:
    """The end of an attempt that has an outcome; `error` is the exception where it failed."""

    outcome: Outcome
    error: Exception | None


def run(attempt: Claimed, watchdog: Watchdog, notifier: Notifier) -> Finished | Reason:
    """Run an attempt to its end; return the reason where it was interrupted and has no outcome."""
    started = time.monotonic()
    meter = Meter()
    result: dict[str, Any]
    error: Exception | None = None
    interruptible: Interruptible | None = None
    with Redactor() as redactor, capture(attempt.id, attempt.attempt) as lines:
        secrets = AttemptSecrets(attempt.execution_id, redactor)
        try:
            with watchdog.watch(attempt) as interruptible, interruptible.exposed():
                result = _result(attempt, interruptible, notifier, secrets)
            if interruptible.reason is Reason.STOPPING and interruptible.delivered:
                return Reason.STOPPING  # it may have returned early because it was told to end
        except ConditionFailed:
            result = {"status": SatelliteStatus.SKIPPED, "reason": SkipReason.IF}
        except Prune:
            result = {"status": SatelliteStatus.SKIPPED, "reason": SkipReason.PRUNE}
        except RequeueAfter as asked:
            result = {"status": SatelliteStatus.PENDING, "retry_after_s": asked.seconds}
        except BaseException as raised:  # noqa: BLE001  (whatever it raises is its outcome)
            if interruptible is not None and interruptible.reason in {Reason.TAKEN_AWAY, Reason.STOPPING}:
                return interruptible.reason
            error = _error_of(raised, attempt)
            result = _failure(error, raised, attempt, redactor)
            if redactor:
                error = Redacted(result["error"])
            lines.add(time.time(), "error", result["traceback"])
    ended = time.monotonic()
    outcome = Outcome(
        attempt.id,
        attempt.claim,
        duration_ms=(ended - started) * 1000,
        ended_at=ended,
        resource_usage=meter.read(),
        **result,
    )
    return Finished(outcome, error)


def _error_of(raised: BaseException, attempt: Claimed) -> Exception:
    if isinstance(raised, Interrupted):
        return TimedOut(f"it did not finish within its timeout of {attempt.timeout_s:g} s")
    if isinstance(raised, SystemExit):
        return LogicError(f"the satellite called exit({raised})")
    return (
        raised
        if isinstance(raised, Exception)
        else LogicError(f"the satellite raised {type(raised).__name__}: {raised}")
    )


def _failure(error: Exception, raised: BaseException, attempt: Claimed, redactor: Redactor) -> dict[str, Any]:
    def shown(text: str) -> str:
        return printable(redactor.in_text(text))

    kind = kind_of(error)
    policy = RetryPolicy.from_json(attempt.retry_policy | {"max_attempts": attempt.max_attempts})
    wait_s = policy.wait_s(attempt.attempt, random.random())  # noqa: S311  (jitter, no secret)
    return {
        "status": SatelliteStatus.FAILED,
        "error": shown(f"{type(error).__name__}: {error}")[:ERROR_CHARACTERS],
        "error_kind": shown(kind),
        "traceback": shown(_traceback(raised))[-TRACEBACK_CHARACTERS:],
        "retry_after_s": wait_s if policy.retries(kind, attempt.attempt) else None,
    }


def _result(
    attempt: Claimed, interruptible: Interruptible, notifier: Notifier, secrets: AttemptSecrets
) -> dict[str, Any]:
    """Run the satellite's code, or what is ours where it is a parent; return the fields of its outcome."""
    _check_input_size(attempt)
    redactor = secrets.redactor
    if attempt.dynamic is None:
        return _completed(_call(attempt, interruptible, notifier, secrets), redactor)
    dynamic = Dynamic(attempt, secrets)
    dynamic.check_condition()
    if not is_parent(attempt):
        return _completed(_call(dynamic.with_values(), interruptible, notifier, secrets), redactor)
    if attempt.children:
        return _completed(dynamic.gather(), redactor)
    expansion = dynamic.expand()
    if isinstance(expansion, list):
        return _completed(expansion, redactor)
    return {"status": SatelliteStatus.PENDING, "expansion": expansion}


def _completed(output: Any, redactor: Redactor) -> dict[str, Any]:
    encoded = _encoded(output)
    redacted = redactor.in_value(output, encoded)
    if redacted is not output:
        encoded = _encoded(redacted)
    return {"status": SatelliteStatus.COMPLETED, "output": redacted, "output_bytes": len(encoded)}


def _check_input_size(attempt: Claimed) -> None:
    allowed = settings().max_input_bytes
    if attempt.input_bytes > allowed:
        raise ConfigurationError(
            f"the outputs of the dependencies of {attempt.name!r} have {attempt.input_bytes} bytes together; "
            f"at most {allowed} are allowed (MAX_INPUT_BYTES)"
        )


def _call(attempt: Claimed, interruptible: Interruptible, notifier: Notifier, secrets: AttemptSecrets) -> Any:
    context = Context(
        config=attempt.config,
        input={**(attempt.dependency_outputs or {}), **attempt.input},
        execution_id=str(attempt.execution_id),
        satellite_id=str(attempt.id),
        name=attempt.name,
        attempt=attempt.attempt,
        log=logging.getLogger(LOGGER),
        cancelled=interruptible.tell,
        report=partial(_report, attempt, notifier, secrets.redactor),
        store=Store(SharedValues(attempt, secrets.redactor)),
        secrets=secrets,
        artifacts=Artifacts(KeptArtifacts(attempt, secrets.redactor)),
    )
    returned = registry.find(attempt.identifier).function(context)
    return interruptible.run(returned) if inspect.iscoroutine(returned) else returned


def _report(attempt: Claimed, notifier: Notifier, redactor: Redactor, fraction: float, message: str) -> None:
    said = {
        "type": "progress",
        "execution_id": str(attempt.execution_id),
        "satellite_id": str(attempt.id),
        "name": attempt.name,
        "attempt": attempt.attempt,
        "progress": fraction,
        "message": printable(redactor.in_text(message))[:PROGRESS_CHARACTERS],
        "at": datetime.now(UTC).isoformat().replace("+00:00", "Z"),
    }
    with shielded():
        notifier.publish_progress(attempt.execution_id, attempt.id, said)


def _encoded(output: object) -> bytes:
    """Return an output as JSON; raise ConfigurationError where PostgreSQL could not keep it."""
    nested = output
    for _ in range(HEADROOM_LEVELS):
        nested = [nested]
    try:
        encoded = json.dumps(nested, ensure_ascii=False, allow_nan=False).encode()[HEADROOM_LEVELS:-HEADROOM_LEVELS]
    except (TypeError, ValueError, RecursionError) as error:
        raise ConfigurationError(f"the output is no JSON value: {error}") from error
    if b"\\u0000" in encoded and _holds_nul(output):
        raise ConfigurationError("the output holds a NUL character, which PostgreSQL cannot keep")
    allowed = settings().max_output_bytes
    if len(encoded) > allowed:
        raise ConfigurationError(
            f"the output has {len(encoded)} bytes; at most {allowed} are allowed (MAX_OUTPUT_BYTES)"
        )
    return encoded


def _holds_nul(value: object) -> bool:
    if isinstance(value, str):
        return "\0" in value
    if isinstance(value, dict):
        return any(_holds_nul(key) or _holds_nul(one) for key, one in value.items())
    return isinstance(value, list | tuple) and any(_holds_nul(one) for one in value)


def _traceback(error: BaseException) -> str:
    """Format an exception from the satellite's own frames on; ours are of no use to its author."""
    frame = error.__traceback__
    while frame is not None and frame.tb_frame.f_code.co_filename == __file__:
        frame = frame.tb_next
    return "".join(traceback.format_exception(type(error), error, frame or error.__traceback__))
