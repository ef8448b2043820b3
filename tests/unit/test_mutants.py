"""The runner of mutants tells a killed one from one whose test could not fail for it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.mutants.__main__ import ROOT, choose, parse, read, stands_for

if TYPE_CHECKING:
    from pathlib import Path

JUNIT = """<testsuites><testsuite>
  <testcase classname="tests.unit.test_a" name="test_one"><failure message="assert 1 == 2"/></testcase>
  <testcase classname="tests.unit.test_a" name="test_two[1]"/>
  <testcase classname="tests.unit.test_a" name="test_three"><skipped/></testcase>
  <testcase classname="tests.unit.test_a" name="test_four"><error message="failed on setup"/></testcase>
</testsuite></testsuites>"""


def test_failure_in_a_test_is_told_from_an_error_around_it() -> None:
    report = parse(JUNIT)
    assert report.failed == {"tests/unit/test_a.py::test_one"}
    assert report.passed == {"tests/unit/test_a.py::test_two[1]"}
    assert report.errors == 1


def test_test_without_parameters_stands_for_all_of_its_cases() -> None:
    case = "tests/unit/test_a.py::test_two[1]"
    assert stands_for("tests/unit/test_a.py::test_two", case)
    assert stands_for(case, case)
    assert not stands_for("tests/unit/test_a.py::test_two[2]", case)
    assert not stands_for("tests/unit/test_a.py::test_tw", case)


def test_patch_without_a_test_is_refused(tmp_path: Path) -> None:
    (tmp_path / "nameless.patch").write_text("diff --git a/run.py b/run.py\n")
    with pytest.raises(ValueError, match="nameless"):
        read(tmp_path / "nameless.patch")


def test_every_mutant_names_a_file_of_tests() -> None:
    for mutant in choose([]):
        assert [test for test in mutant.tests if not (ROOT / test.partition("::")[0]).exists()] == []
