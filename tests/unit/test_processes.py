"""Processes that tests start behave as anywhere else, however the tests themselves were started."""

from __future__ import annotations

import signal

import pytest

from tests.conftest import reset_ignored_signals_in_children
from tests.processes import Process, python
from tests.waiting import until


@pytest.mark.parametrize("number", [signal.SIGHUP, signal.SIGINT, signal.SIGQUIT])
def test_signal_that_the_shell_had_us_ignore_ends_what_a_test_starts(number: signal.Signals) -> None:
    before = signal.signal(number, signal.SIG_IGN)
    try:
        reset_ignored_signals_in_children()
        with Process(python("-c", "print('ready', flush=True); import time; time.sleep(600)"), {}) as process:
            until(lambda: "ready" in process.output)
            process.send(number)
            assert process.wait() != 0
    finally:
        signal.signal(number, before)


def test_process_ends_with_its_test() -> None:
    with Process(python("-c", "import time; time.sleep(600)"), {}) as process:
        assert process.returncode is None
    assert process.returncode == -signal.SIGKILL
