"""Puts the values of expressions into configurations and inputs."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from state_manager.errors import ExpressionError
from state_manager.expressions.budget import Budget
from state_manager.expressions.evaluation import evaluate
from state_manager.expressions.syntax import parse
from state_manager.expressions.text import OPENING, Code, split

if TYPE_CHECKING:
    from collections.abc import Mapping

TOTAL_S = 10.0
"""Processor time of all expressions of one call; a document could hold a hundred thousand of one second each."""


def resolve(value: Any, scope: Mapping[str, Any], *, max_bytes: int) -> Any:
    """Return a JSON value with the values of its expressions in their place; raises ExpressionError.

    `scope` holds `satellites` (by name, each with its `output`), `inputs`, `secrets` (by name), `execution`, and in a
    fan-out `item` and `index`. A text that is one expression becomes its value, whatever the type; within other text
    the value is rendered: texts as they are, null as nothing, anything else as JSON. The values together have at most
    `max_bytes` as JSON, and share nothing with the scope.
    """
    return _Resolution(scope, max_bytes).of(value)


class _Resolution:
    """One call of `resolve`, and what its expressions have left of time and bytes."""

    def __init__(self, scope: Mapping[str, Any], max_bytes: int) -> None:
        self._scope = scope
        self._left_bytes = max_bytes
        self._left_s = TOTAL_S

    def of(self, value: Any) -> Any:
        if isinstance(value, dict):
            return {key: self.of(below) for key, below in value.items()}
        if isinstance(value, list):
            return [self.of(below) for below in value]
        return self._of_text(value) if isinstance(value, str) and OPENING in value else value

    def _of_text(self, text: str) -> Any:
        match split(text):
            case [Code(code)]:
                return json.loads(self._as_json(code))
            case parts:
                return "".join(self._rendered(part.text) if isinstance(part, Code) else part for part in parts)

    def _rendered(self, code: str) -> str:
        text = self._as_json(code)
        value = json.loads(text)
        if value is None:
            return ""
        return value if isinstance(value, str) else text

    def _as_json(self, code: str) -> str:
        budget = Budget()
        text = evaluate(parse(code), self._scope, budget, self._left_bytes)
        self._left_bytes -= len(text.encode())
        self._left_s -= budget.used_s()
        if self._left_s < 0:
            raise ExpressionError(code, f"with the expressions before it takes more than {TOTAL_S:g} s")
        return text
