"""Expressions are replaced by their values; whatever they are, they end soon, and show no secret when they fail."""

from __future__ import annotations

import json
import sys
import threading
import time
import traceback
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from state_manager.errors import ExpressionError
from state_manager.expressions.evaluation import is_true
from state_manager.expressions.resolution import resolve
from state_manager.expressions.text import LONGEST

MAX_BYTES = 2**20
SECRET = "canary-5f1d"  # noqa: S105
SCOPE: dict[str, Any] = {
    "satellites": {
        "fetch": {"output": {"files": [{"uri": f"s3://b/{n}", "size": n} for n in range(5)]}},
        "data-ingestion": {"output": "text"},
    },
    "inputs": {"bucket": "b", "n": 3, "yes": True, "none": None, "list": [1, "zwei"], "ö": "é"},
    "secrets": {"token": SECRET, "api-key": "k"},
    "execution": {"id": "e1", "cluster_id": "p/c", "created_at": "2026-11-25T00:00:00Z"},
    "item": {"uri": "s3://b/1"},
    "index": 1,
}


def value(text: Any, **limits: int) -> Any:
    return resolve(text, SCOPE, **{"max_bytes": MAX_BYTES, **limits})


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("${{ inputs.n }}", 3),
        ("${{ inputs.yes }}", True),
        ("${{ inputs.none }}", None),
        ("${{ inputs.missing }}", None),
        ("${{ inputs.list }}", [1, "zwei"]),
        ("\n  ${{ inputs.n }}\n", 3),
        ("${{ satellites.data-ingestion.output }}", "text"),
        ('${{ satellites."data-ingestion".output }}', "text"),
        ("${{ satellites.fetch.output.files[?size > `2`].uri }}", ["s3://b/3", "s3://b/4"]),
        ("${{ satellites.unknown.output }}", None),
        ("${{ execution.id }}", "e1"),
        ("${{ item.uri }}", "s3://b/1"),
        ("${{ index }}", 1),
        ("${{ secrets.token }}", SECRET),
        ("Bearer ${{ secrets.api-key }}", "Bearer k"),
        ("s3://${{ inputs.bucket }}/${{ index }}", "s3://b/1"),
        ("n=${{ inputs.n }} yes=${{ inputs.yes }} none=${{ inputs.none }}.", "n=3 yes=true none=."),
        ("list ${{ inputs.list }}", 'list [1,"zwei"]'),
        ('${{ inputs."ö" }} ${{ to_string([inputs."ö"]) }}', 'é ["é"]'),
        ("$${{ inputs.n }}", "${{ inputs.n }}"),
        ("$${{ a }} is ${{ inputs.n }}", "${{ a }} is 3"),
        ("plain", "plain"),
        ("${{ {a: {b: inputs.n}} }}", {"a": {"b": 3}}),
        ("${{ not_null(inputs.missing, 'default') }}", "default"),
        ("${{ `1.5` }}", 1.5),
        ("${{ !inputs.yes }}", False),
        ("${{ !inputs.list[?@ == 'drei'] && inputs.yes }}", True),
    ],
)
def test_text_becomes_its_value(text: str, expected: Any) -> None:
    assert value(text) == expected
    assert type(value(text)) is type(expected)


def test_expressions_are_replaced_at_any_depth_and_all_else_stays() -> None:
    config = {"a": [{"b": "${{ inputs.n }}"}, 1, None, True], "${{ key }}": "x", "f": 1.5}
    assert value(config) == {"a": [{"b": 3}, 1, None, True], "${{ key }}": "x", "f": 1.5}


def test_values_share_nothing_with_the_scope() -> None:
    value("${{ inputs.list }}").append("more")
    assert SCOPE["inputs"]["list"] == [1, "zwei"]


def test_scope_as_a_whole_shows_neither_satellites_nor_secrets() -> None:
    assert value("${{ keys(@) }}") == ["inputs", "execution", "item", "index"]
    assert SECRET not in json.dumps(value("${{ @ }}"))


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        ("secrets.other", "there is no secret named 'other'"),
        ("join(secrets.token, secrets.token)", "join() takes array-string, not string"),
        ("join(',', [secrets.token, `1`])", "join() takes array-string, not number"),
        ("sum([secrets.token])", "sum() takes array-number, not string"),
        ("contains(secrets.token, `1`)", "has no value that JSON can hold (TypeError)"),
        ("sort_by([{a: secrets.token}, {a: `1`}], &a)", "sort_by() takes string, not number"),
        ("&inputs", "has no value that JSON can hold (TypeError)"),
        ("to_string(&inputs)", "has no value that JSON can hold (TypeError)"),
        ("to_number('nan')", "has no value that JSON can hold (ValueError)"),
        ("[to_number('1e999')]", "has no value that JSON can hold (ValueError)"),
        ("ceil(to_number('inf'))", "has no value that JSON can hold (OverflowError)"),
        ('`"\\ud800"`', "has no value that JSON can hold (UnicodeEncodeError)"),
        ("inputs.list[::0]", "has no value that JSON can hold (ValueError)"),
        ("nothing", "unknown name 'nothing'; known are satellites, inputs, secrets, execution, item, index"),
    ],
)
def test_failure_shows_expression_and_reason_but_no_secret(code: str, reason: str) -> None:
    with pytest.raises(ExpressionError) as error:
        value({"a": f"x ${{{{ {code} }}}}"})
    assert str(error.value) == f"${{{{ {code} }}}}: {reason}"
    assert SECRET not in "".join(traceback.format_exception(error.value))
    assert error.value.__context__ is None


@pytest.mark.parametrize("code", ["inputs.list[0] < 'a'", "inputs.n > inputs.none", "inputs.yes < `2`"])
def test_values_without_an_order_compare_as_null(code: str) -> None:
    assert value(f"${{{{ {code} }}}}") is None


def test_values_together_obey_the_limit_of_bytes() -> None:
    text = "${{ inputs.big }}"
    scope = {"inputs": {"big": "x" * 600}}
    assert resolve(text, scope, max_bytes=602) == "x" * 600
    for texts in ([text, text], f"{text}{text}"):
        with pytest.raises(ExpressionError, match="has a value of more than 398 bytes"):
            resolve(texts, scope, max_bytes=1000)


@pytest.mark.parametrize("held", [True, 1, "x", [0], {"a": 1}])
def test_if_holds_for_other_values(held: Any) -> None:
    assert is_true(held)


@pytest.mark.parametrize("held", [False, None, 0, 0.0, "", [], {}])
def test_if_does_not_hold_for_false_null_zero_and_what_is_empty(held: Any) -> None:
    assert not is_true(held)


DOUBLING = "[@,@]"
BIG = {"list": list(range(100_000)), "text": "x" * 500_000, "one": [["x" * 1000] * 1000]}

BOMBS = [
    " | ".join([DOUBLING] * 22),
    "inputs | " + "|".join([DOUBLING] * 49),
    "length(" + " | ".join([DOUBLING] * 22) + ")",
    "to_string(" + "|".join([DOUBLING] * 45) + ")",
    "(" + "|".join(["inputs", *[DOUBLING] * 45]) + ") == (" + "|".join(["inputs", *[DOUBLING] * 45]) + ")",
    "contains([" + "|".join(["inputs", *[DOUBLING] * 45]) + "], " + "|".join(["inputs", *[DOUBLING] * 45]) + ")",
    "inputs.list | " + "|".join(["[@,@][]"] * 45),
    "inputs.list | " + "|".join(["map(&@, [@,@][])"] * 30) + " | sort(@)",
    "inputs.text | " + "|".join(["join('', [@,@])"] * 45),
    "inputs.text | " + "|".join(["[@,@]"] * 20) + "|" + "|".join(["[]"] * 20) + "| sort(@)",
    "inputs.list[*].[@][][].[@][]." + ".".join(["[@,@]"] * 25) + "[]" * 25,
    "inputs.list[?length(to_string(`" + json.dumps(list(range(200))) + "`)) > `0`]",
    "map(&map(&sort_by(@, &@), @), [[inputs.list, inputs.list, inputs.list]])" + "|@" * 40,
    "inputs.list | [@,@,@,@,@,@,@,@][] | [@,@,@,@,@,@,@,@][] | sort(@) | sort_by(@, &@) | reverse(@) | sum(@)",
    "inputs.list | map(&merge(@, @), [`{}`])",
    "max_by(inputs.list | [@,@,@,@,@,@,@,@][] | [@,@,@,@,@,@,@,@][], &to_string(@))",
]


@pytest.mark.parametrize("code", BOMBS)
def test_explosive_expression_ends_within_about_a_second(code: str) -> None:
    assert len(code) <= LONGEST
    began = time.thread_time()
    try:
        resolve(f"${{{{ {code} }}}}", {"inputs": BIG, "execution": {}}, max_bytes=2**26)
    except ExpressionError as error:
        assert str(error).startswith("${{ " + code)  # noqa: PT017
    assert time.thread_time() - began < 2


def test_expression_that_takes_too_long_says_so() -> None:
    code = "inputs.list[?" + " || ".join(["a == b"] * 90) + "]"
    scope = {"inputs": {"list": [{"a": n} for n in range(100_000)]}}
    with pytest.raises(ExpressionError, match="takes more than 1 s"):
        resolve(f"${{{{ {code} }}}}", scope, max_bytes=MAX_BYTES)


def test_many_expressions_are_limited_together(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("state_manager.expressions.resolution.TOTAL_S", 0.05)
    with pytest.raises(ExpressionError, match=r"with the expressions before it takes more than 0\.05 s"):
        resolve(["${{ inputs.list[?@ > `10`] }}"] * 1000, {"inputs": {"list": list(range(1000))}}, max_bytes=2**30)


def test_time_in_which_the_thread_did_not_run_does_not_count() -> None:
    stop = threading.Event()
    others = [threading.Thread(target=lambda: [None for _ in iter(stop.is_set, True)]) for _ in range(4)]
    for other in others:
        other.start()
    try:
        began = time.monotonic()
        while time.monotonic() - began < 1.5:
            assert value("${{ length(inputs.list[?@ == 'zwei']) }}") == 1
    finally:
        stop.set()
        for other in others:
            other.join()


def test_deep_stack_of_the_caller_costs_an_expression_error_at_most() -> None:
    def from_the_depth(left: int) -> Any:
        return from_the_depth(left - 1) if left else value("${{ " + "[" * 40 + "@" + "]" * 40 + " }}")

    outcomes = set()
    for left in range(sys.getrecursionlimit() - 400, sys.getrecursionlimit() - 150, 10):
        try:
            from_the_depth(left)
            outcomes.add("value")
        except ExpressionError:
            outcomes.add("error")
        except RecursionError:
            outcomes.add("caller's own")
    assert "value" in outcomes or "error" in outcomes


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=5),
    lambda below: st.lists(below, max_size=4) | st.dictionaries(st.sampled_from(["a", "b", "c-d"]), below, max_size=3),
    max_leaves=20,
)
ATOMS = [
    "@",
    "inputs",
    "inputs.a",
    "satellites.x.output",
    "secrets.token",
    "item",
    "index",
    "`1`",
    "'t'",
    "a",
    "c-d",
    "`[1,[2]]`",
]
WRAPPERS = [
    "[{0},{1}]", "{{a: {0}, b: {1}}}", "{0} | {1}", "{0} || {1}", "{0} && {1}", "!({0})", "{0} == {1}", "{0} < {1}",
    "({0})[*].{1}", "({0})[?{1}]", "({0})[]", "({0})[1:]", "({0})[::-1]", "({0})[-1]", "({0}).*", "({0}).a",
    "length({0})", "keys({0})", "values({0})", "sort({0})", "sort_by({0}, &{1})", "map(&{1}, {0})", "join({1}, {0})",
    "to_string({0})", "to_number({0})", "merge({0}, {1})", "contains({0}, {1})", "max_by({0}, &{1})", "sum({0})",
    "reverse({0})", "not_null({0}, {1})", "type({0})", "avg({0})", "max({0})", "ends_with({0}, {1})", "ceil({0})",
    "&{0}",
]  # fmt: skip
CODES = st.recursive(
    st.sampled_from(ATOMS),
    lambda below: st.builds(lambda wrapper, a, b: wrapper.format(a, b), st.sampled_from(WRAPPERS), below, below),
    max_leaves=12,
)


@settings(max_examples=300, deadline=5000)
@given(code=CODES, inputs=JSON, output=JSON)
def test_any_expression_has_a_value_in_json_or_an_error(code: str, inputs: Any, output: Any) -> None:
    scope = {**SCOPE, "inputs": inputs, "satellites": {"x": {"output": output}}}
    try:
        found = resolve(f"${{{{ {code} }}}}", scope, max_bytes=MAX_BYTES)
    except ExpressionError as error:
        assert SECRET not in str(error)  # noqa: PT017
    else:
        assert json.loads(json.dumps(found, allow_nan=False)) == found


TOKENS = ["${{", "}}", *"${}'\"`\\ab.-[]()|&@*?!=<>01 ,:", "inputs", "[?", "length("]


@settings(max_examples=300, deadline=5000)
@given(text=st.lists(st.sampled_from(TOKENS), max_size=40).map("".join))
def test_any_text_is_resolved_or_refused(text: str) -> None:
    for candidate in (text, f"${{{{ {text} }}}}"):
        try:
            resolve({"a": [candidate]}, SCOPE, max_bytes=MAX_BYTES)
        except ExpressionError as error:
            assert error.reason  # noqa: PT017
