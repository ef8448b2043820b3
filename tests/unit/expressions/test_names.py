"""The names that an expression refers to are known before its evaluation, however JMESPath changes the scope."""

from __future__ import annotations

from contextlib import suppress

import pytest

from state_manager.errors import ExpressionError
from state_manager.expressions.names import written
from state_manager.expressions.syntax import DEEPEST, parse


@pytest.mark.parametrize(
    ("code", "satellites"),
    [
        ("satellites.fetch.output", ["fetch"]),
        ("satellites.data-ingestion.output", ["data-ingestion"]),
        ('satellites."data-ingestion".output', ["data-ingestion"]),
        ("satellites.a-1-b.output[-1]", ["a-1-b"]),
        ('satellites."a/b [1]".output.x', ["a/b [1]"]),
        ("satellites.a.output[0].b.c", ["a"]),
        ("satellites.a.output[?x > `1`].satellites", ["a"]),
        ("[satellites.b.output, satellites.a.output]", ["b", "a"]),
        ("{x: satellites.a.output, y: satellites.a.output}", ["a"]),
        ("satellites.{x: a.output, y: b.output}", ["a", "b"]),
        ("satellites.a.{x: output}", ["a"]),
        ("satellites | a | output", ["a"]),
        ("@.satellites.a.output", ["a"]),
        ("satellites.a.output | satellites.x", ["a"]),
        ("satellites.a.output || satellites.b.output", ["a", "b"]),
        ("!satellites.a.output && satellites.b.output == satellites.c.output", ["a", "b", "c"]),
        ("length(satellites.a.output)", ["a"]),
        ("sort_by(satellites.a.output, &satellites)", ["a"]),
        ("satellites.a.output[*].satellites.b.output", ["a"]),
        ("satellites.a.output.*.satellites", ["a"]),
        ("satellites.a.output[].satellites", ["a"]),
        ("satellites.a.output[1:].satellites", ["a"]),
        ("inputs.satellites.a", []),
        ("'satellites.a.output'", []),
        ('`{"satellites": 1}`', []),
    ],
)
def test_satellites_are_listed_where_they_are_read_from_the_scope(code: str, satellites: list[str]) -> None:
    names = parse(code).names
    assert list(names.satellites) == satellites
    assert names.faults == ()


def test_secrets_are_listed() -> None:
    names = parse("join('', ['Bearer ', secrets.api-key, secrets.\"other key\"])").names
    assert names.secrets == ("api-key", "other key")


@pytest.mark.parametrize(("code", "reads"), [("item.uri", True), ("[0, index]", False), ("inputs.item", False)])
def test_use_of_the_item_is_known(code: str, reads: bool) -> None:
    assert parse(code.replace("[0, index]", "inputs.index")).names.item is reads


def test_index_counts_as_use_of_the_item() -> None:
    assert parse("index").names.item


@pytest.mark.parametrize(
    ("code", "fault"),
    [
        ("satelites.a.output", "unknown name 'satelites'; did you mean 'satellites' or 'secrets'?"),
        ("x.y", "unknown name 'x'; known are satellites, inputs, secrets, execution, item, index"),
        ("inputs.files[?size > `10`] && size", "unknown name 'size'"),
        ("satellites", "satellites are read by their names alone: satellites.NAME.output"),
        ("satellites | keys(@)", "satellites are read by their names alone"),
        ("satellites.*.output", "satellites are read by their names alone"),
        ("satellites[0]", "satellites are read by their names alone"),
        ("values(satellites)[0].output", "satellites are read by their names alone"),
        ("[satellites]", "satellites are read by their names alone"),
        ("satellites || inputs", "satellites are read by their names alone"),
        ("satellites.a", "of a satellite its output can be read: satellites.a.output"),
        ("satellites.a.outputs", "of a satellite its output can be read: satellites.a.output"),
        ('satellites."a b".status', 'of a satellite its output can be read: satellites."a b".output'),
        ("to_string(secrets)", "secrets are read by their names alone: secrets.NAME"),
        ("secrets.*", "secrets are read by their names alone: secrets.NAME"),
        ("execution.name", "execution has no 'name'; it has id, cluster_id, created_at"),
    ],
)
def test_reference_that_cannot_be_known_is_a_fault(code: str, fault: str) -> None:
    assert parse(code).names.faults[0].startswith(fault)


@pytest.mark.parametrize("code", ["@", "[@,@] | [@,@]", "keys(@)", "execution", "inputs", "execution.id", "*.x"])
def test_the_scope_itself_is_no_fault(code: str) -> None:
    assert parse(code).names.faults == ()


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        ("", "is empty"),
        ("inputs.", "ends too early, at column 7"),
        ("inputs.a b", "column 9: unexpected 'b'"),
        ("inputs..a", "column 7: unexpected '.'"),
        ("inputs.a = 'b'", "column 9: Unknown token '='; == compares"),
        (
            "inputs.a+1",
            "column 8: Unknown token +; a name with other than letters, digits, _ and - is written in double quotes",
        ),
        (
            "inputs.größe",
            "column 9: Unknown token ö; a name with other than letters, digits, _ and - is written in double quotes",
        ),
        ("inputs['a']", "column 7: unexpected 'a'"),
        ("inputs.a[?x", "ends too early, at column 11"),
        ('`"`', "column 0: the literal in backticks is no JSON"),
        ("foo(inputs)", "unknown function foo(); known are abs, avg, "),
        ("length(inputs, inputs)", "length() takes 1 argument, not 2"),
        ("join(',')", "join() takes 2 arguments, not 1"),
        ("merge()", "merge() takes at least 1 argument, not 0"),
    ],
)
def test_fault_of_the_syntax_shows_expression_and_place(code: str, reason: str) -> None:
    with pytest.raises(ExpressionError) as error:
        parse(code)
    assert error.value.reason.startswith(reason)
    assert str(error.value).startswith("${{ " + code + " }}: ")


@pytest.mark.parametrize(
    "code",
    [
        "(" * 499 + "@" + ")" * 499,
        "[" * 499 + "@" + "]" * 499,
        "[?" * 333 + "@" + "]" * 333,
        "! " * 499 + "@",
        "& " * 499 + "@",
        "@" + "[*]" * 333,
        "@" + "[]" * 499,
        "@" + ".*" * 499,
        "@" + "|@" * 499,
        "@" + "||@" * 333,
        "abs(" * 199 + "@" + ")" * 199,
        "{a:" * 249 + "@" + "}" * 249,
    ],
)
def test_deep_nesting_is_refused(code: str) -> None:
    with pytest.raises(ExpressionError, match=f"is nested more than {DEEPEST} deep"):
        parse(code)


def test_deep_literal_is_read_or_refused() -> None:
    parse("`" + "[" * 400 + "]" * 400 + "`")
    with suppress(ExpressionError):  # Python 3.12 does not mind the depth, and then it is a text without its quotes
        parse("`" + "[" * 998 + "`")


def test_text_in_backticks_without_its_quotes_is_text() -> None:
    assert parse("inputs.files[?kind == `pdf`]").names.faults == ()


@pytest.mark.parametrize("name", ["a", "data-ingestion", "a b", 'say "x"', "back\\slash", "ünï", "1st", "-x", "a/b"])
def test_written_names_are_read_back(name: str) -> None:
    assert parse(f"{written(name)}.output").names.satellites == (name,)
