"""Expressions are found where they stand, and end where their quotes and braces say."""

from __future__ import annotations

import pytest

from state_manager.errors import ExpressionError
from state_manager.expressions.text import LONGEST, Code, find, split


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("plain", ["plain"]),
        ("", []),
        ("${{ a }}", [Code("a")]),
        ("${{a}}", [Code("a")]),
        (" ${{ a }}\n", [Code("a")]),
        ("s3://${{ a }}/${{ b }}", ["s3://", Code("a"), "/", Code("b")]),
        ("${{ a }}${{ b }}", [Code("a"), Code("b")]),
        ("${{ a }} ${{ b }}", [Code("a"), " ", Code("b")]),
        ("$${{ a }}", ["${{", " a }}"]),
        ("$${{ a }} ${{ b }}", ["${{", " a }} ", Code("b")]),
        ("$$${{ a }}", ["$", "${{", " a }}"]),
        ("${{ {a: {b: c}} }}", [Code("{a: {b: c}}")]),
        ("${{ {a: {b: c}}}}", [Code("{a: {b: c}}")]),
        ("${{ '}}' }}", [Code("'}}'")]),
        ('${{ "a}}" }}', [Code('"a}}"')]),
        ('${{ `{"a": {}}` }}', [Code('`{"a": {}}`')]),
        (r"${{ 'it\'s }}' }}", [Code(r"'it\'s }}'")]),
        ("${{ }}", [Code("")]),
        ("${{ a } }}", [Code("a }")]),
        ("$ {{ a }} {{ b }}", ["$ {{ a }} {{ b }}"]),
    ],
)
def test_text_is_split_into_literals_and_code(text: str, parts: list[str | Code]) -> None:
    assert split(text) == parts


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("${{ a", "is not closed by }}"),
        ("x ${{ a }", "is not closed by }}"),
        ("${{ {a: b }}", "is not closed by }}"),
        ("${{ it's }}", "the ' at column 3 is not closed"),
        ("${{ `1 }}", "the ` at column 1 is not closed"),
        ("${{ a }} ${{ b", "is not closed by }}"),
        ("${{ " + "a" * (LONGEST + 1) + " }}", "has 1001 characters; at most 1000 are allowed"),
    ],
)
def test_unreadable_expression_says_why(text: str, reason: str) -> None:
    with pytest.raises(ExpressionError) as error:
        split(text)
    assert error.value.reason == reason


def test_longest_expression_is_allowed() -> None:
    assert split("${{ " + "a" * LONGEST + " }}") == [Code("a" * LONGEST)]


def test_message_of_a_long_unclosed_expression_is_short() -> None:
    with pytest.raises(ExpressionError) as error:
        split("${{ " + "a" * 1_000_000)
    assert len(str(error.value)) < 100


def test_expressions_are_found_in_nested_values_but_not_in_keys() -> None:
    value = {"a": ["${{ b }}", "plain", {"${{ key }}": "c ${{ d }}"}], "n": 1, "none": None}
    assert list(find(value)) == [(("a", 0), "${{ b }}"), (("a", 2, "${{ key }}"), "c ${{ d }}")]


def test_text_alone_is_found_at_the_root() -> None:
    assert list(find("${{ a }}")) == [((), "${{ a }}")]
