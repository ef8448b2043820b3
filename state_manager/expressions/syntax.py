"""From code to a syntax tree: JMESPath, with hyphens in plain names."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, ClassVar

from jmespath import exceptions
from jmespath.functions import Functions
from jmespath.lexer import Lexer
from jmespath.parser import ParsedResult, Parser

from state_manager.errors import ExpressionError
from state_manager.expressions.names import Names, names_of
from state_manager.expressions.text import codes, find

DEEPEST = 100
"""Deepest nesting of parentheses, and of operations; evaluating one level takes about three frames."""

CACHED = 512
"""Expressions that are kept parsed; the largest take some 50 KB each."""


@dataclass(frozen=True, slots=True)
class Expression:
    """A parsed expression; `names.faults` says what is wrong with what it refers to."""

    code: str
    tree: dict[str, Any]
    names: Names


@lru_cache(maxsize=CACHED)
def parse(code: str) -> Expression:
    """Parse the code of an expression; raises ExpressionError with the place of a fault, columns counted from 0."""
    try:
        tree: dict[str, Any] = _Parser().parse(code).parsed
    except exceptions.EmptyExpressionError:
        raise ExpressionError(code, "is empty") from None
    except exceptions.LexerError as error:
        raise ExpressionError(code, f"column {error.lexer_position}: {error.message}{_hint(error)}") from None
    except exceptions.ParseError as error:
        if not error.token_value:
            raise ExpressionError(code, f"ends too early, at column {len(code)}") from None
        raise ExpressionError(code, f"column {error.lex_position}: unexpected {error.token_value!r}") from None
    except RecursionError:
        raise ExpressionError(code, f"is nested more than {DEEPEST} deep") from None
    _check_depth(code, tree)
    _check_functions(code, tree)
    return Expression(code, tree, names_of(tree))


def names_in(value: Any) -> Names:
    """List what the expressions in a JSON value refer to, all together; raises ExpressionError."""
    found = [parse(code).names for _, text in find(value) for code in codes(text)]
    return Names(
        satellites=tuple(dict.fromkeys(name for one in found for name in one.satellites)),
        secrets=tuple(dict.fromkeys(name for one in found for name in one.secrets)),
        roots=frozenset(root for one in found for root in one.roots),
        faults=tuple(dict.fromkeys(fault for one in found for fault in one.faults)),
    )


class _Lexer(Lexer):  # type: ignore[misc]  # jmespath has no types
    """JMESPath has no subtraction, so that `a-b` can only be a name."""

    VALID_IDENTIFIER = Lexer.VALID_IDENTIFIER | {"-"}

    def _consume_literal(self) -> dict[str, Any]:
        """Read a literal in backticks as Lexer does, without its warning at texts that lack their quotes."""
        start = self._position
        lexeme = self._consume_until("`").replace("\\`", "`")
        for candidate in (lexeme, f'"{lexeme.lstrip()}"'):
            try:
                value = json.loads(candidate)
            except ValueError:
                continue
            return {"type": "literal", "value": value, "start": start, "end": self._position - start}
        raise exceptions.LexerError(start, lexeme, "the literal in backticks is no JSON")


class _Parser(Parser):  # type: ignore[misc]
    BINDING_POWER: ClassVar[dict[str, int]] = {**Parser.BINDING_POWER, "not": 6}
    """`!a.b` is `!(a.b)`; in jmespath it is `(!a).b`, which is null whatever `a` is."""

    def parse(self, expression: str) -> ParsedResult:
        """Parse without Parser's cache, whose entries may come from its own lexer."""
        return self._do_parse(expression)

    def _parse(self, expression: str) -> ParsedResult:
        self._tokens = list(_Lexer().tokenize(expression))
        self._index = 0
        self._refuse_deep_parentheses()
        tree = self._expression(binding_power=0)
        if self._current_token() != "eof":
            self._error_led_token(self._lookahead_token(0))
        return ParsedResult(expression, tree)

    def _refuse_deep_parentheses(self) -> None:
        depth = 0
        for token in self._tokens:
            depth += {"lparen": 1, "rparen": -1}.get(token["type"], 0)
            if depth > DEEPEST:
                raise RecursionError


def _hint(error: exceptions.LexerError) -> str:
    if error.lexer_value == "=":
        return "; == compares"
    if error.message.startswith("Unknown token"):
        return "; a name with other than letters, digits, _ and - is written in double quotes"
    return ""


def _check_depth(code: str, tree: dict[str, Any]) -> None:
    layer, depth = [tree], 0
    while layer:
        depth += 1
        if depth > DEEPEST:
            raise ExpressionError(code, f"is nested more than {DEEPEST} deep")
        layer = [child for node in layer for child in node["children"] if isinstance(child, dict)]


def _check_functions(code: str, tree: dict[str, Any]) -> None:
    """Refuse unknown functions and wrong numbers of arguments, which jmespath itself finds when it evaluates."""
    nodes = [tree]
    while nodes:
        node = nodes.pop()
        nodes += [child for child in node["children"] if isinstance(child, dict)]
        if node["type"] == "function_expression":
            _check_function(code, node["value"], len(node["children"]))


def _check_function(code: str, name: str, given: int) -> None:
    known = Functions.FUNCTION_TABLE.get(name)
    if known is None:
        raise ExpressionError(
            code, f"unknown function {name}(); known are {', '.join(sorted(Functions.FUNCTION_TABLE))}"
        )
    wanted = len(known["signature"])
    variadic = bool(wanted and known["signature"][-1].get("variadic"))
    if given < wanted or (given > wanted and not variadic):
        raise ExpressionError(
            code, f"{name}() takes {'at least ' if variadic else ''}{wanted} argument{'s' * (wanted != 1)}, not {given}"
        )
