"""The decorator that registers satellite types, and the types that are registered in this process."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping

DEFAULT_QUEUE = "satellites"

_IDENTIFIER = re.compile(r"satellite/[\w.-]{1,128}/[\w.-]{1,128}", re.ASCII)
_KIND = re.compile(r"[\w.-]{1,128}", re.ASCII)
_registered: dict[str, SatelliteDefinition] = {}

F = TypeVar("F", bound="Callable[..., Any]")


@dataclass(frozen=True, slots=True)
class Unavailable:
    """A use of a satellite type that this worker cannot serve, since an optional package is not installed."""

    reason: str
    """The reason shown to whoever submits a cluster, with the package to install."""
    when: Mapping[str, Any] = field(default_factory=dict)
    """The values in the configuration that need it; with none of them, the satellite cannot be used at all."""


@dataclass(frozen=True, slots=True)
class SatelliteDefinition:
    """A satellite type: the function that runs its satellites, sync or async, and what its author declared."""

    identifier: str
    function: Callable[..., Any]
    config_schema: dict[str, Any] | None
    queue: str
    timeout_s: float | None
    kinds: tuple[str, ...]
    unavailable: tuple[Unavailable, ...] = ()

    @property
    def home(self) -> str:
        """The module and name of the function."""
        return f"{self.function.__module__}.{self.function.__qualname__}"


def satellite(
    identifier: str,
    *,
    config_schema: dict[str, Any] | None = None,
    queue: str = DEFAULT_QUEUE,
    timeout: float | None = None,
    kinds: Collection[str] = (),
    unavailable: Collection[Unavailable] = (),
) -> Callable[[F], F]:
    """Register a function as the satellite `satellite/PROJECT/NAME`.

    It takes a `Context` and returns a JSON value; it may be `async def`.

    `config_schema` is a JSON schema that validates configurations when a cluster is submitted. `queue` is the queue of
    the workers that run it. `timeout` is the longest duration of an attempt in seconds, unless the cluster sets one.
    `kinds` are its own kinds of errors (`TransientError("…", kind="rate_limited")`), which a cluster's `retry_on` may
    list. A kind that is not declared is recorded, but never retried; one that begins with `x-` needs no declaration.
    `unavailable` are the uses that need an optional package which is missing here: a cluster with one is refused at
    submission, with the reason.

    Raises ValueError when the identifier is malformed or taken by another function, the timeout not positive, or a
    kind not a word.
    """
    if not _IDENTIFIER.fullmatch(identifier):
        message = f"{identifier!r} is not of the form satellite/PROJECT/NAME (letters, digits, '.', '_', '-')"
        raise ValueError(message)

    if timeout is not None and timeout <= 0:
        message = f"{identifier}: a timeout is a positive number of seconds, not {timeout!r}"
        raise ValueError(message)

    if isinstance(kinds, str) or not all(_KIND.fullmatch(kind) for kind in kinds):
        message = f"{identifier}: kinds are a list of words (letters, digits, '.', '_', '-'), not {kinds!r}"
        raise ValueError(message)

    def register(function: F) -> F:
        definition = SatelliteDefinition(
            identifier, function, config_schema, queue, timeout, tuple(kinds), tuple(unavailable)
        )
        taken = _registered.get(identifier)
        if taken is not None and taken.home != definition.home:
            message = f"{identifier} is defined twice: by {taken.home} and by {definition.home}"
            raise ValueError(message)
        _registered[identifier] = definition
        return function

    return register


def registered() -> Mapping[str, SatelliteDefinition]:
    """Return the satellite types registered in this process, by identifier."""
    return dict(_registered)
