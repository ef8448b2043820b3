"""Printed text becomes one log line for each line, in however many writes it came."""

from __future__ import annotations

import logging
from threading import Thread

import pytest

from workers.attempt.prints import LINE_CHARACTERS, PrintedLines


@pytest.fixture
def stream(caplog: pytest.LogCaptureFixture) -> PrintedLines:
    caplog.set_level(logging.INFO, logger="print")
    return PrintedLines(logging.INFO)


def test_values_of_one_print_are_one_line(stream: PrintedLines, caplog: pytest.LogCaptureFixture) -> None:
    print("a", 0, file=stream)
    print("b", "c\nd", sep=" - ", file=stream)
    assert caplog.messages == ["a 0", "b - c", "d"]


def test_line_without_an_end_is_logged_when_it_is_ended(stream: PrintedLines, caplog: pytest.LogCaptureFixture) -> None:
    print("half", end="", file=stream)
    assert caplog.messages == []
    stream.end_line()
    stream.end_line()
    assert caplog.messages == ["half"]


def test_line_that_grows_without_end_is_logged_in_parts(stream: PrintedLines, caplog: pytest.LogCaptureFixture) -> None:
    for _ in range(3):
        stream.write("x" * LINE_CHARACTERS)
    assert [len(message) for message in caplog.messages] == [LINE_CHARACTERS] * 3


def test_empty_lines_are_left_out(stream: PrintedLines, caplog: pytest.LogCaptureFixture) -> None:
    print("\n \nx", file=stream)
    assert caplog.messages == ["x"]


def test_threads_do_not_mix_their_lines(stream: PrintedLines, caplog: pytest.LogCaptureFixture) -> None:
    stream.write("mine ")
    other = Thread(target=print, args=("other",), kwargs={"file": stream})
    other.start()
    other.join()
    stream.write("too\n")
    assert caplog.messages == ["other", "mine too"]


def test_handler_that_prints_does_not_print_for_ever(stream: PrintedLines, capfd: pytest.CaptureFixture[str]) -> None:
    class Printing(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            print("handled", record.getMessage(), file=stream)

    logger, handler = logging.getLogger("print"), Printing()
    logger.addHandler(handler)
    try:
        print("once", file=stream)
    finally:
        logger.removeHandler(handler)
    assert capfd.readouterr().err.count("handled once") == 1
