"""Secrets are found in what an attempt writes, however they are spelled there."""

from __future__ import annotations

import base64
import json
import logging
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, quote_plus, urlencode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workers.attempt import redaction
from workers.attempt.logs import redact_record
from workers.attempt.prints import LINE_CHARACTERS, PrintedLines
from workers.attempt.redaction import SHORTEST, Redactor, redact

if TYPE_CHECKING:
    from collections.abc import Iterator

SECRET = 'p/w?"ö\\ +%\n&=~' + "\N{GRINNING FACE}'x"
PEM = "-----BEGIN KEY-----\nMIIBVgIBADANBgkqhkiG\n9w0BAQEFAASCAT8w\n-----END KEY-----\n"
SECRETS = st.text(st.characters(exclude_categories=["Cs"]), min_size=SHORTEST).filter(
    lambda text: len(text.strip()) >= SHORTEST and not set(text) <= set("*")
)


def redactor(*secrets: str) -> Redactor:
    made = Redactor()
    for one in secrets:
        made.add(one)
    return made


@pytest.fixture(autouse=True)
def nothing_stays_active() -> Iterator[None]:
    yield
    redaction._active = ()


def encoded(value: Any) -> bytes:
    return json.dumps(value, ensure_ascii=False).encode()


SPELLINGS = {
    "itself": SECRET,
    "JSON": json.dumps(SECRET)[1:-1],
    "JSON beyond ASCII": json.dumps(SECRET, ensure_ascii=False)[1:-1],
    "repr": repr(SECRET)[1:-1],
    "repr of bytes": repr(SECRET.encode())[2:-1],
    "repr in a text with quotes": repr(f"\"'{SECRET}\"'")[4:-4],
    "JSON in JSON": json.dumps(json.dumps([SECRET]))[4:-4],
    "repr of a repr": repr(repr([SECRET]))[4:-4],
    "path": quote(SECRET),
    "URL": quote(SECRET, safe=""),
    "query": quote_plus(SECRET),
    "hexadecimal": SECRET.encode().hex(),
    "HEXADECIMAL": SECRET.encode().hex().upper(),
}


@pytest.mark.parametrize("spelling", SPELLINGS)
def test_secret_is_found_in_every_spelling(spelling: str) -> None:
    assert redactor(SECRET).in_text(f"before {SPELLINGS[spelling]} after") == "before *** after"


@given(secret=SECRETS, before=st.binary(max_size=5), after=st.binary(max_size=5))
def test_secret_is_found_in_base64_wherever_it_stands(secret: str, before: bytes, after: bytes) -> None:
    for encode in (base64.b64encode, base64.urlsafe_b64encode):
        text = encode(before + secret.encode() + after).decode()
        redacted = redactor(secret).in_text(text)
        assert "***" in redacted
        # What is left of it are the characters that it shares with its neighbours.
        assert len(redacted) - len("***") <= len(encode(before + after)) + 8


@given(secret=SECRETS)
def test_query_of_a_url_does_not_hold_it(secret: str) -> None:
    assert "***" in redactor(secret).in_text(urlencode({"token": secret}))


def test_apostrophe_is_found_in_the_repr_of_a_text_with_other_quotes() -> None:
    made = redactor("isn't it")
    assert made.in_text(repr("isn't it")) == '"***"'
    assert made.in_text(repr('"isn\'t it"')) == "'\"***\"'"


def test_words_of_every_length_are_redacted_down_to_the_shortest() -> None:
    made = redactor("abcd", "xyz", " q ")
    assert made.in_text("abcd xyz q") == "*** xyz q"
    assert not redactor("xyz")


def test_secret_that_is_part_of_another_leaves_nothing_of_it() -> None:
    assert redactor("pass", "password-of-mine").in_text("password-of-mine, pass") == "***, ***"


def test_lines_of_a_secret_are_found_one_by_one() -> None:
    made = redactor(PEM)
    assert made.in_text(PEM) == "***"
    assert made.in_text("got 9w0BAQEFAASCAT8w") == "got ***"
    assert made.in_text(f"key: {PEM.strip()}!") == "key: ***!"


def test_values_are_redacted_in_keys_lists_and_numbers() -> None:
    value = {"a": ["x 12345678 y", 12345678, 1.5, None, True, {"12345678": "b"}], "n": 912345678}
    assert redactor("12345678").in_value(value, encoded(value)) == {
        "a": ["x *** y", "***", 1.5, None, True, {"***": "b"}],
        "n": "***",
    }


def test_value_without_a_secret_is_the_same_object() -> None:
    value = {"a": [1, "b"]}
    assert redactor(SECRET).in_value(value, encoded(value)) is value


@given(secret=SECRETS, around=st.text())
def test_secret_in_any_text_of_an_output_is_found(secret: str, around: str) -> None:
    value = {"text": f"{around}{secret}", "as JSON": json.dumps({"deep": [secret]})}
    assert redactor(secret).in_value(value, encoded(value)) is not value


def test_output_that_nests_as_deep_as_it_may_is_redacted() -> None:
    value: Any = SECRET
    for _ in range(800):
        value = [value]
    assert "***" in json.dumps(redactor(SECRET).in_value(value, encoded(value)))


def test_nothing_is_active_before_a_secret_is_read_and_after_the_attempt() -> None:
    with Redactor() as made:
        assert not redaction.is_active()
        made.add(SECRET)
        assert redact(f"<{SECRET}>") == "<***>"
    assert not redaction.is_active()


def record(message: object, *args: object, exc_info: Any = None) -> logging.LogRecord:
    made = logging.LogRecord("x", logging.INFO, "f", 1, message, args, exc_info)
    redact_record(made)
    return made


def test_log_record_is_redacted_before_its_handlers() -> None:
    redactor(SECRET)
    assert record("as %s and %r", SECRET, SECRET).getMessage() == "as *** and '***'"
    assert record("%d", SECRET).getMessage() == "'%d' with ('***',)"
    failed = record("failed", exc_info=(ValueError, ValueError(SECRET), None))
    assert failed.exc_info is None
    assert failed.getMessage().splitlines()[-1] == "ValueError: ***"
    assert record({"event": SECRET, "n": 1}).msg == {"event": "***", "n": 1}


def test_printed_secret_is_found_across_writes_and_lines(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, logger="print")
    redactor(PEM, "a long secret")
    stream = PrintedLines(logging.INFO)
    print("a long", "secret", PEM, file=stream)
    stream.write("x" * (LINE_CHARACTERS - 6) + "a long")
    stream.write(" secret\n")
    assert caplog.messages[0] == "*** ***"
    assert "".join(caplog.messages[1:]) == "x" * (LINE_CHARACTERS - 6) + "***"
