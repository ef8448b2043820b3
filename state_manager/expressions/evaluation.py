"""Evaluates expressions in the calling thread, within limits of time and memory, by checks at every step.

Signals would not do: satellites also run in threads. jmespath's interpreter is a loop in Python around short calls into
C, so it is enough to check the time at every node, and to bound each of those calls by the size of what it reads.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from jmespath.exceptions import JMESPathError, JMESPathTypeError
from jmespath.functions import TYPES_MAP, Functions, signature
from jmespath.visitor import Options, TreeInterpreter

from state_manager.errors import ExpressionError
from state_manager.expressions.budget import Budget, Exhausted
from state_manager.expressions.json_text import json_text

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from state_manager.expressions.names import Names
    from state_manager.expressions.syntax import Expression

PER_ELEMENT = 16
"""Units of work for one element of a list or an object that a call reads or makes."""

PER_OBJECT = 64
"""Units for a list or an object that is made, without what is in it."""

PER_SORTED = 48
"""Further units for one element that is sorted: a million takes about a second."""

PER_ENTRY = 96
"""Further units for one entry of an object that is made: about its bytes."""

PER_CHARACTER = 4
"""Units for one character of a text that is made: its bytes, at most."""

INSTANT = frozenset({"length", "not_null", "to_array", "type"})
"""Functions that take the same time for lists of any length."""


def evaluate(expression: Expression, scope: Mapping[str, Any], budget: Budget, max_bytes: int) -> str:
    """Return the value of an expression as JSON, of at most `max_bytes`; raises ExpressionError.

    Of `scope["satellites"]` and `scope["secrets"]` the expression sees what it names. A satellite that is not there is
    null, as every missing name is; a secret that is not there is an error.
    """
    names = expression.names
    if names.faults:
        raise ExpressionError(expression.code, "; ".join(names.faults))
    if missing := [name for name in names.secrets if name not in scope.get("secrets", ())]:
        raise ExpressionError(expression.code, f"there is no secret named {missing[0]!r}")
    try:
        return _as_json(_Interpreter(budget).visit(expression.tree, _visible(names, scope)), budget, max_bytes)
    except Exhausted as error:
        reason = str(error)
    except JMESPathTypeError as error:
        given = TYPES_MAP.get(error.actual_type, error.actual_type)
        reason = f"{error.function_name}() takes {' or '.join(error.expected_types)}, not {given}"
    except RecursionError:
        reason = "its value is nested too deep"
    except (JMESPathError, ArithmeticError, TypeError, ValueError) as error:
        reason = f"has no value that JSON can hold ({type(error).__name__})"
    # Raised outside of the handlers, so that no traceback shows the first exception: its message may hold a secret.
    raise ExpressionError(expression.code, reason)


def _as_json(value: Any, budget: Budget, max_bytes: int) -> str:
    if budget.size(value, max_bytes) <= max_bytes:
        text = json_text(value)
        if len(text.encode()) <= max_bytes:
            return text
    raise Exhausted(f"has a value of more than {max_bytes} bytes")


def is_true(value: Any) -> bool:
    """Tell whether an `if` with this value holds: false, null, 0 and whatever is empty do not."""
    return bool(value)


def _visible(names: Names, scope: Mapping[str, Any]) -> dict[str, Any]:
    visible = {root: scope[root] for root in ("inputs", "execution", "item", "index") if root in scope}
    if names.satellites:
        given = scope.get("satellites", {})
        visible["satellites"] = {name: given.get(name) for name in names.satellites}
    if names.secrets:
        visible["secrets"] = {name: scope["secrets"][name] for name in names.secrets}
    return visible


class _Interpreter(TreeInterpreter):  # type: ignore[misc]  # jmespath has no types
    def __init__(self, budget: Budget) -> None:
        super().__init__(Options(custom_functions=_Functions(budget)))
        self._budget = budget
        self._methods: dict[str, Callable[[dict[str, Any], Any], Any]] = {}

    def visit(self, node: dict[str, Any], value: Any) -> Any:
        """Evaluate a node, and count the step."""
        self._budget.step()
        kind = node["type"]
        method = self._methods.get(kind)
        if method is None:
            method = self._methods[kind] = getattr(self, f"visit_{kind}")
        return method(node, value)

    def visit_comparator(self, node: dict[str, Any], value: Any) -> Any:
        """Compare, once the sizes are counted: lists that hold each other many times would be compared for ever."""
        left, right = (self.visit(child, value) for child in node["children"])
        if isinstance(left, dict | list) and isinstance(right, dict | list):
            self._budget.charge_tree(left)
            self._budget.charge_tree(right)
        elif node["value"] not in self._EQUALITY_OPS and not _ordered(left, right):
            return None
        return self.COMPARATOR_FUNC[node["value"]](left, right)

    def visit_flatten(self, node: dict[str, Any], value: Any) -> Any:
        """Flatten a list by one level."""
        base = self.visit(node["children"][0], value)
        if not isinstance(base, list):
            return None
        flat: list[Any] = []
        for element in base:
            self._budget.step()
            if isinstance(element, list):
                self._budget.charge(PER_ELEMENT * len(element))
                flat.extend(element)
            else:
                flat.append(element)
        return flat

    def visit_slice(self, node: dict[str, Any], value: Any) -> Any:
        """Slice a list."""
        if isinstance(value, list):
            self._budget.charge(PER_ELEMENT * len(value))
        return super().visit_slice(node, value)

    def visit_multi_select_list(self, node: dict[str, Any], value: Any) -> Any:
        """Make a list."""
        self._budget.charge(PER_OBJECT + PER_ELEMENT * len(node["children"]))
        return super().visit_multi_select_list(node, value)

    def visit_multi_select_dict(self, node: dict[str, Any], value: Any) -> Any:
        """Make an object."""
        self._budget.charge(PER_OBJECT + PER_ENTRY * len(node["children"]))
        return super().visit_multi_select_dict(node, value)


def _ordered(left: Any, right: Any) -> bool:
    """Tell whether there is an order between these: two numbers, or two texts."""
    if isinstance(left, str):
        return isinstance(right, str)
    return all(isinstance(one, int | float) and not isinstance(one, bool) for one in (left, right))


class _Functions(Functions):  # type: ignore[misc]
    """JMESPath's functions, each charged for what it reads before it does."""

    def __init__(self, budget: Budget) -> None:
        self._budget = budget

    def call_function(self, function_name: str, resolved_args: list[Any]) -> Any:
        """Call a function by its name."""
        if function_name not in INSTANT:
            self._budget.charge(PER_ELEMENT * sum(len(one) for one in resolved_args if isinstance(one, list | dict)))
        return super().call_function(function_name, resolved_args)

    def _validate_arguments(self, args: list[Any], signature: Any, function_name: str) -> None:
        super()._validate_arguments(args, signature, function_name)
        if charge := _CHARGES.get(function_name):
            charge(self._budget, *args)

    def _create_key_func(self, expref: Any, allowed_types: list[str], function_name: str) -> Callable[[Any], Any]:
        key = super()._create_key_func(expref, allowed_types, function_name)

        def charged(element: Any) -> Any:
            result = key(element)
            if isinstance(result, str):
                self._budget.charge(len(result))
            return result

        return charged

    @signature({"types": []})  # type: ignore[untyped-decorator]
    def _func_to_string(self, arg: Any) -> Any:
        return arg if isinstance(arg, str) else json_text(arg)


def _charge_texts(budget: Budget, texts: list[Any]) -> None:
    budget.charge(sum(len(one) for one in texts if isinstance(one, str)))


def _charge_sort(budget: Budget, texts: list[Any]) -> None:
    budget.charge(PER_SORTED * len(texts))
    _charge_texts(budget, texts)


def _charge_sort_by(budget: Budget, elements: list[Any], _: Any) -> None:
    budget.charge(PER_SORTED * len(elements))


def _charge_join(budget: Budget, separator: str, texts: list[str]) -> None:
    budget.charge(PER_CHARACTER * (sum(map(len, texts)) + len(separator) * len(texts)))


def _charge_contains(budget: Budget, subject: Any, search: Any) -> None:
    if isinstance(search, dict | list):
        budget.charge_tree(subject)
        budget.charge_tree(search)
    elif isinstance(search, str):
        budget.charge(len(subject) * len(search) if isinstance(subject, list) else len(subject))


def _charge_tree(budget: Budget, value: Any) -> None:
    budget.charge_tree(value, each=PER_CHARACTER)


def _charge_reverse(budget: Budget, value: Any) -> None:
    budget.charge(PER_CHARACTER * len(value))


def _charge_merge(budget: Budget, *objects: dict[str, Any]) -> None:
    budget.charge(PER_ENTRY * sum(map(len, objects)))


_CHARGES: Mapping[str, Callable[..., None]] = {
    "contains": _charge_contains,
    "join": _charge_join,
    "max": _charge_texts,
    "merge": _charge_merge,
    "min": _charge_texts,
    "reverse": _charge_reverse,
    "sort": _charge_sort,
    "sort_by": _charge_sort_by,
    "to_string": _charge_tree,
}
