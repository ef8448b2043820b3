"""Satellites with something to resolve when they run: expressions, `if`, and the expansion and gather of parents."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from exospherehost import ConfigurationError, LogicError, Prune
from state_manager.cluster import MAX_ITEMS
from state_manager.config import settings
from state_manager.configurations import mismatches
from state_manager.errors import ExpressionError
from state_manager.expansion import ChildFailed, children, gathered, names_in_scope
from state_manager.expressions.evaluation import is_true
from state_manager.expressions.resolution import resolve
from state_manager.expressions.text import mentions
from state_manager.store.transitions import Expansion
from workers import registry
from workers.attempt import scope

if TYPE_CHECKING:
    from collections.abc import Sequence

    from state_manager.store.transitions import Claimed
    from workers.attempt.secrets import AttemptSecrets


class ConditionFailed(Prune):
    """The `if` of a satellite is not true."""


class Dynamic:
    """The fields of one attempt that are resolved from expressions when it runs."""

    def __init__(self, attempt: Claimed, secrets: AttemptSecrets) -> None:
        self._attempt = attempt
        self._fields = attempt.dynamic or {}
        self._secrets = secrets

    def check_condition(self) -> None:
        """Raise ConditionFailed where the satellite has an `if` that is not true. One that expanded has passed it."""
        if "if" in self._fields and not self._attempt.children and not is_true(self._resolved(self._fields["if"])):
            raise ConditionFailed

    def with_values(self) -> Claimed:
        """Return the attempt with the values of its expressions, and the names of its group for what it depends on.

        Raises ConfigurationError where its satellite's schema refuses the values.
        """
        config, given = self._resolved([self._attempt.config, self._attempt.input])
        schema = registry.find(self._attempt.identifier).config_schema
        if schema is not None and mentions(self._attempt.config) and (wrong := mismatches(schema, config)):
            raise ConfigurationError(
                "the values of the expressions are not what the satellite takes: " + "; ".join(wrong)
            )
        outputs = names_in_scope(self._attempt.dependency_outputs or {}, self._fields)
        return replace(self._attempt, config=config, input=given, dependency_outputs=outputs)

    def expand(self) -> Expansion | list[Any]:
        """Return the children of a parent; an empty list where it has no items, which is its output then."""
        items = self._items()
        if items == []:
            return items
        rows = children(self._attempt, items)
        return Expansion(rows, 1 if items is None else len(items), settings().max_expanded_satellites)

    def gather(self) -> Any:
        """Return the output of a parent whose children have ended."""
        try:
            return gathered(self._attempt, scope.children_of(self._attempt))
        except ChildFailed as failed:
            raise LogicError(str(failed), kind="child_failed") from None

    def _items(self) -> Sequence[Any] | None:
        if "for_each" not in self._fields:
            return None
        items = self._resolved(self._fields["for_each"])
        if not isinstance(items, list):
            raise ConfigurationError(f"for_each takes a list, not {type(items).__name__}: {self._fields['for_each']}")
        if len(items) > MAX_ITEMS:
            raise ConfigurationError(f"for_each gives {len(items)} items; at most {MAX_ITEMS} are allowed")
        redactor = self._secrets.redactor
        if redactor and redactor.is_in(json.dumps(items, ensure_ascii=False).encode()):
            raise ConfigurationError("an item of for_each holds a secret; name it in the config or input of each item")
        return items

    def _resolved(self, value: Any) -> Any:
        try:
            names = scope.names_of(self._attempt, [value], self._secrets)
            return resolve(value, names, max_bytes=settings().max_input_bytes)
        except ExpressionError as error:
            raise ConfigurationError(str(error)) from None
