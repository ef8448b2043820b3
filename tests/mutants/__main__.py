"""Mutation testing: break the code in known ways, and check that a test fails: `python -m tests.mutants [NAME …]`.

A mutant is a patch in this folder. Its first line names the tests of which one must fail when it is applied:
`# test: tests/store/test_leases.py::test_…`. Each is applied to a worktree of HEAD, so commit a test before its mutant.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from queue import SimpleQueue
from typing import TYPE_CHECKING
from xml.etree import ElementTree as ET

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

ROOT = Path(__file__).parents[2]
LEAST_KILLED = 0.95
PROCESSES = 2
GIVE_UP_S = 300
"""Longest time that one mutant's tests may take, in seconds: a thread that does not end keeps their process alive."""
BYTECODE = ROOT / ".pytest_cache" / "pyc"


class Verdict(StrEnum):
    """Outcomes of a mutant: only the first is a good one."""

    KILLED = "killed"
    SURVIVED = "SURVIVED"
    NO_TEST = "NO TEST"
    """Its test fails without it too, or there is none of this name."""
    BROKEN = "BROKEN"
    """Its patch does not apply, or its test could not be run at all."""


@dataclass(frozen=True, slots=True)
class Mutant:
    """A patch, and the tests of which one must fail with it."""

    path: Path
    tests: Sequence[str]

    @property
    def name(self) -> str:
        """The patch's file name, without its ending."""
        return self.path.stem


@dataclass(frozen=True, slots=True)
class Report:
    """The results of a run of tests: the tests that passed, and those that failed in their own body."""

    passed: frozenset[str]
    failed: frozenset[str]
    errors: int


def read(path: Path) -> Mutant:
    """Read a patch; raises `ValueError` where its first line names no test."""
    first, _, _ = path.read_text().partition("\n")
    if not first.startswith("# test: "):
        raise ValueError(f"{path.name}: its first line is not '# test: tests/…::name'")
    return Mutant(path, first.removeprefix("# test: ").split())


def choose(names: Sequence[str]) -> list[Mutant]:
    """Read the mutants of these names, all of them by default."""
    mutants = {path.stem: path for path in sorted(Path(__file__).parent.glob("*.patch"))}
    if unknown := set(names) - mutants.keys():
        raise ValueError(f"there is no mutant {', '.join(sorted(unknown))}")
    return [read(mutants[name]) for name in names or mutants]


@contextmanager
def worktree() -> Iterator[Path]:
    """Yield a copy of HEAD, to be broken and run."""
    with tempfile.TemporaryDirectory(prefix="exo-mutants-") as folder:
        tree = Path(folder) / "tree"
        git("worktree", "add", "--quiet", "--detach", str(tree), "HEAD", cwd=ROOT)
        try:
            yield tree
        finally:
            git("worktree", "remove", "--force", str(tree), cwd=ROOT)


def git(*arguments: str, cwd: Path) -> None:
    """Run git; raises `CalledProcessError` with what it complains of."""
    subprocess.run(["git", *arguments], cwd=cwd, check=True, capture_output=True, text=True)


def pytest(tree: Path, *arguments: str, within_s: float | None = None) -> str:
    """Run pytest in a worktree, on its code and no other; return what it prints."""
    environment = {**os.environ, "PYTHONPATH": str(tree), "PYTHONPYCACHEPREFIX": str(BYTECODE)}
    command = [sys.executable, "-m", "pytest", "-q", "-m", "", *arguments]
    with subprocess.Popen(
        command, cwd=tree, env=environment, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as program:
        try:
            return program.communicate(timeout=within_s)[0]
        except subprocess.TimeoutExpired:  # the report is written before the process waits for its threads
            program.kill()
            return program.communicate()[0]


def collect(tests: Iterable[str], tree: Path) -> list[str]:
    """List the ids of these tests that there are, each case of one with parameters."""
    files = {test.partition("::")[0] for test in tests}
    there = sorted(file for file in files if (tree / file).exists())
    ids = pytest(tree, "--numprocesses=0", "--collect-only", *there).splitlines()
    return [one for one in ids if any(stands_for(test, one) for test in tests)]


def stands_for(test: str, case: str) -> bool:
    """Tell whether a test is meant by this name; one without parameters stands for all of its cases."""
    return case == test or case.startswith(f"{test}[")


def run(tests: Iterable[str], tree: Path, *options: str, within_s: float | None = None) -> Report:
    """Run tests in a worktree."""
    with tempfile.NamedTemporaryFile(suffix=".xml") as junit:
        pytest(tree, f"--junit-xml={junit.name}", *options, *tests, within_s=within_s)
        report = Path(junit.name).read_text()
    return parse(report) if report else Report(frozenset(), frozenset(), 1)


def parse(junit: str) -> Report:
    """Read a report in JUnit's XML."""
    passed, failed, errors = set(), set(), 0
    for case in ET.fromstring(junit).iter("testcase"):  # noqa: S314  (pytest's own)
        test = f"{case.get('classname', '').replace('.', '/')}.py::{case.get('name')}"
        kinds = {child.tag for child in case}
        errors += "error" in kinds
        if "failure" in kinds:
            failed.add(test)
        elif not kinds & {"error", "skipped"}:
            passed.add(test)
    return Report(frozenset(passed), frozenset(failed), errors)


def judge(mutant: Mutant, tree: Path, sound: frozenset[str]) -> Verdict:
    """Apply a mutant to a worktree, run its tests, and take it back; `sound` are the tests that pass without it."""
    for test in mutant.tests:
        if not any(stands_for(test, case) for case in sound):
            return Verdict.NO_TEST
    try:
        git("apply", str(mutant.path), cwd=tree)
    except subprocess.CalledProcessError as error:
        print(f"{mutant.path.name} does not apply:\n{error.stderr}", flush=True)
        return Verdict.BROKEN
    try:
        report = run(mutant.tests, tree, "--numprocesses=0", "--exitfirst", within_s=GIVE_UP_S)
    finally:
        git("checkout", "--quiet", "--force", ".", cwd=tree)
        git("clean", "--quiet", "--force", "-d", cwd=tree)
    if report.failed & sound:
        return Verdict.KILLED
    return Verdict.BROKEN if report.errors else Verdict.SURVIVED


def judge_all(mutants: Sequence[Mutant]) -> list[Verdict]:
    """Judge every mutant, a few side by side, and say so as they are done."""
    with worktree() as first, worktree() as second:
        cases = collect({test for mutant in mutants for test in mutant.tests}, first)
        sound = run(cases, first, f"--numprocesses={PROCESSES}").passed
        print(f"{len(sound)} of {len(cases)} cases of the tests pass without a mutant", flush=True)
        trees: SimpleQueue[Path] = SimpleQueue()
        for tree in (first, second):
            trees.put(tree)

        def judge_one(mutant: Mutant) -> Verdict:
            tree = trees.get()
            try:
                verdict = judge(mutant, tree, sound)
            finally:
                trees.put(tree)
            print(f"{verdict:8}  {mutant.name}", flush=True)
            return verdict

        with ThreadPoolExecutor(PROCESSES) as pool:
            return list(pool.map(judge_one, mutants))


def main() -> None:
    """Judge the mutants, and exit with 1 where fewer are killed than should be."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME", help="mutants, by the names of their patches; all if none")
    verdicts = judge_all(mutants := choose(parser.parse_args().names))
    killed = verdicts.count(Verdict.KILLED)
    print(f"{killed} of {len(mutants)} killed ({killed / max(len(mutants), 1):.0%})")
    sys.exit(Verdict.BROKEN in verdicts or killed < LEAST_KILLED * len(mutants))


if __name__ == "__main__":
    main()
