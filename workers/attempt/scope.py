"""The scope of a satellite's expressions: read when it runs, and kept for the next one, because it never changes."""

from __future__ import annotations

from collections import OrderedDict
from functools import lru_cache
from threading import Lock
from typing import TYPE_CHECKING, Any

from exospherehost import ConfigurationError
from state_manager.config import settings
from state_manager.expressions.syntax import names_in
from state_manager.store import scope
from workers.attempt.database import ask

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping
    from uuid import UUID

    from state_manager.expansion import Child
    from state_manager.store.scope import Facts
    from state_manager.store.transitions import Claimed

EXECUTIONS_KEPT = 16
"""Executions whose inputs a process keeps; each may have some megabytes."""


def names_of(attempt: Claimed, values: Collection[Any], secrets: Mapping[str, str]) -> dict[str, Any]:
    """Return what the expressions in these values of a satellite name, and no more, as `resolve` takes it.

    Raises ConfigurationError where the outputs among it are larger than MAX_INPUT_BYTES together.
    """
    names = names_in(list(values))
    found: dict[str, Any] = {"secrets": secrets, "item": attempt.item, "index": attempt.index}
    if names.roots & {"inputs", "execution"}:
        facts = _facts(attempt.execution_id)
        found |= {"inputs": facts.inputs, "execution": facts.execution}
    if names.satellites:
        outputs = _outputs_of(attempt, names.satellites)
        found["satellites"] = {name: {"output": output} for name, output in outputs.items()}
    return found


def children_of(attempt: Claimed) -> list[Child]:
    """Read the children of a parent, in order."""
    return ask(lambda engine: scope.children(engine, attempt.id))


@lru_cache(EXECUTIONS_KEPT)
def _facts(execution_id: UUID) -> Facts:
    return ask(lambda engine: scope.facts(engine, execution_id))


def _outputs_of(attempt: Claimed, named: Collection[str]) -> dict[str, Any]:
    """Return outputs by the names that expressions use: each that of the innermost satellite of this name."""
    scopes: list[str] = (attempt.dynamic or {})["scopes"]
    outputs = _outputs.read(attempt.execution_id, {f"{place}{name}" for place in scopes for name in named})
    found: dict[str, Any] = {}
    for name in named:
        full = next((f"{place}{name}" for place in scopes if f"{place}{name}" in outputs), None)
        found[name] = None if full is None else outputs[full]
    return found


class OutputCache:
    """The outputs of completed satellites that were read last, MAX_INPUT_BYTES of them."""

    def __init__(self) -> None:
        self._outputs: OrderedDict[tuple[UUID, str], tuple[Any, int]] = OrderedDict()
        self._bytes = 0
        self._lock = Lock()

    def read(self, execution_id: UUID, names: Collection[str]) -> dict[str, Any]:
        """Return the outputs of those of these satellites of an execution that there are, by name."""
        with self._lock:
            kept = {name: self._outputs[execution_id, name] for name in names if (execution_id, name) in self._outputs}
        missing = set(names) - kept.keys()
        sizes = ask(lambda engine: scope.sizes(engine, execution_id, missing)) if missing else []
        total = sum(size for _, size in kept.values()) + sum(one.output_bytes for one in sizes)
        if total > (allowed := settings().max_input_bytes):
            raise ConfigurationError(
                f"the outputs that its expressions name have {total} bytes together; "
                f"at most {allowed} are allowed (MAX_INPUT_BYTES)"
            )
        found = {one.name for one in sizes}
        outputs = ask(lambda engine: scope.outputs(engine, execution_id, found)) if found else {}
        for one in sizes:
            if one.completed:
                self._keep((execution_id, one.name), outputs[one.name], one.output_bytes)
        return {name: output for name, (output, _) in kept.items()} | outputs

    def _keep(self, key: tuple[UUID, str], output: Any, size: int) -> None:
        with self._lock:
            if key in self._outputs:
                return
            self._outputs[key] = output, size
            self._bytes += size
            while self._bytes > settings().max_input_bytes:
                _, (_, dropped) = self._outputs.popitem(last=False)
                self._bytes -= dropped


_outputs = OutputCache()
