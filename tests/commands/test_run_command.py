"""run-command runs real programs: what they get, what is kept of what they print, and what their end means."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from exospherehost import ConfigurationError, LogicError, TransientError
from state_manager.config import Settings, load_settings, settings
from tests.files.running import run
from tests.http.running import failure
from workers.satellites.run_command import SCHEMA


def execute(python: str, code: str, *arguments: str, **config: Any) -> Any:
    return run("run-command", {"command": [python, "-c", code, *arguments], **config})


def refusal(python: str, code: str, **config: Any) -> Exception:
    return failure("run-command", {"command": [python, "-c", code], **config})


def test_program_gets_its_arguments_and_never_a_shell(python: str) -> None:
    output = execute(python, "import sys; print(sys.argv[1:])", "$HOME; echo x", "a b", "*")
    assert output == {
        "exit_code": 0,
        "stdout": "['$HOME; echo x', 'a b', '*']\n",
        "stderr": "",
        "stdout_truncated": False,
        "stderr_truncated": False,
    }


def test_environment_of_the_worker_is_not_that_of_the_program(python: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URI", "postgresql://canary@db/x")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "canary")
    code = "import os, json; print(json.dumps(dict(os.environ)))"
    environment = execute(python, code, env={"TOKEN": "mine"}, output="json")["stdout"]
    assert environment.pop("TOKEN") == "mine"
    assert set(environment) - {"LC_CTYPE"} == {"PATH", "LANG", "HOME", "TMPDIR"}
    assert "canary" not in json.dumps(environment)


def test_environment_of_the_worker_cannot_be_read_from_its_parent_process_either(
    python: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DATABASE_URI", "postgresql://canary@db/x")
    code = (
        "import os; print(open(f'/proc/{os.getppid()}/environ').read(), open(f'/proc/{os.getppid()}/cmdline').read())"
    )
    assert "canary" not in execute(python, code)["stdout"]


def test_program_runs_in_a_fresh_folder_that_is_removed(python: str) -> None:
    code = "import os, json; open('made', 'w'); print(json.dumps([os.getcwd(), os.listdir(), os.environ['HOME']]))"
    (first, files, home), (second, _, _) = (execute(python, code, output="json")["stdout"] for _ in range(2))
    assert files == ["made"]
    assert first == home != second
    assert not Path(first).exists()


@pytest.mark.parametrize(("stdin", "read"), [("text ü", "text ü"), ({"a": [1]}, '{"a": [1]}'), (None, "null")])
def test_stdin_is_text_or_json(python: str, stdin: object, read: str) -> None:
    assert execute(python, "import sys; print(sys.stdin.read(), end='')", stdin=stdin)["stdout"] == read


def test_stdin_is_empty_where_none_is_configured(python: str) -> None:
    assert execute(python, "import sys; print(repr(sys.stdin.read()))")["stdout"] == "''\n"


def test_stdin_that_is_not_read_does_no_harm(python: str) -> None:
    assert execute(python, "print(1)", stdin="x" * 10_000_000)["stdout"] == "1\n"


def test_output_can_be_json(python: str) -> None:
    assert execute(python, "print('{\"a\": [1]}')", output="json")["stdout"] == {"a": [1]}
    error = refusal(python, "print('no')", output="json")
    assert isinstance(error, LogicError)
    assert "did not print JSON" in str(error)


def test_output_is_bounded(python: str) -> None:
    code = "import sys; print('x' * 5_000_000); print('y' * 5_000_000, file=sys.stderr)"
    output = execute(python, code, max_output_bytes=100)
    assert (output["stdout"], output["stdout_truncated"]) == ("x" * 100, True)
    assert (output["stderr"], output["stderr_truncated"]) == ("y" * 100, True)
    error = refusal(python, code, max_output_bytes=100, output="json")
    assert "printed more than 100 bytes" in str(error)


def test_output_that_is_no_text_is_kept_readable(python: str) -> None:
    code = "import sys; sys.stdout.buffer.write(b'a\\0b\\xff')"
    assert execute(python, code)["stdout"] == "a\ufffdb\ufffd"


def test_lines_are_logged_as_they_come_and_bounded(python: str, caplog: pytest.LogCaptureFixture) -> None:
    code = "import sys; [print(at) for at in range(1500)]; print('oh', file=sys.stderr); print('z' * 9000)"
    with caplog.at_level(logging.INFO):
        execute(python, code)
    shown = [record.getMessage() for record in caplog.records if record.levelno == logging.INFO]
    assert shown[:1000] == [str(at) for at in range(1000)]
    assert shown[1000:] == ["(lines after the first 1000 are not logged)"]
    assert [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING] == ["oh"]


def test_exit_code_decides_the_error(python: str) -> None:
    code = "import sys; print('disk full', file=sys.stderr); sys.exit(3)"
    error = refusal(python, code)
    assert isinstance(error, LogicError)
    assert str(error).endswith("exited with 3: disk full")
    assert isinstance(refusal(python, code, retry_exit_codes=[3]), TransientError)
    assert execute(python, code, success_exit_codes=[0, 3])["exit_code"] == 3


def test_signal_that_ended_the_program_is_named(python: str) -> None:
    error = refusal(python, "import os; os.kill(os.getpid(), 9)")
    assert isinstance(error, LogicError)
    assert "was ended by signal 9" in str(error)


def test_program_may_be_a_name_in_path(python: str) -> None:
    assert run("run-command", {"command": ["sh", "-c", "echo $0", "x"]})["stdout"] == "x\n"


@pytest.mark.parametrize("name", ["bash", "/bin/sh", "./sh", "../bin/sh", ""])
def test_program_that_is_not_listed_is_refused(name: str, python: str) -> None:
    error = failure("run-command", {"command": [name]})
    assert isinstance(error, ConfigurationError)
    assert "may not run" in str(error)
    assert "RUN_COMMANDS" in str(error)


def test_program_that_is_not_there_is_a_configuration_error(python: str) -> None:
    error = failure("run-command", {"command": ["missing-program"]})
    assert isinstance(error, ConfigurationError)
    assert "is not installed on this worker, or cannot be executed" in str(error)


def test_program_that_is_no_program_is_a_configuration_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    broken = tmp_path / "broken"
    broken.write_bytes(b"\x7fELF nonsense")
    broken.chmod(0o755)
    monkeypatch.setenv("RUN_COMMANDS", str(broken))
    settings.cache_clear()
    try:
        error = failure("run-command", {"command": [str(broken)]})
    finally:
        settings.cache_clear()
    assert isinstance(error, ConfigurationError)
    assert "cannot be started" in str(error)


def test_nothing_may_be_run_by_default() -> None:
    assert Settings().run_commands == ()
    with pytest.raises(ValueError, match="'bin/x' is neither the name of a program nor an absolute path"):
        load_settings({"RUN_COMMANDS": "sh,bin/x"})


def test_schema_refuses_what_cannot_be_run() -> None:
    Draft202012Validator.check_schema(SCHEMA)
    valid = Draft202012Validator(SCHEMA).is_valid
    assert valid({"command": ["sh", "-c", "x"], "env": {"A": "b"}, "stdin": {"a": 1}})
    wrong: dict[str, Any]
    for wrong in (
        {},
        {"command": []},
        {"command": "sh -c x"},
        {"command": ["a\0b"]},
        {"command": ["sh"], "shell": True},
    ):
        assert not valid(wrong)
    for name in ("LD_PRELOAD", "DYLD_INSERT_LIBRARIES", "A=B", "1A", ""):
        assert not valid({"command": ["sh"], "env": {name: "x"}})
