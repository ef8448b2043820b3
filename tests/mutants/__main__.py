"""Break the code in known ways, and hold that a test fails each time: `python -m tests.mutants [NAME …]`.

A mutant is a patch in this folder. Its first line names the tests of which one must fail when it is applied:
`# test: tests/store/test_leases.py::test_…`. Each is applied to a worktree of HEAD, so commit a test before its mutant.
"""

from __future__ import annotations

import argparse
import os
import re
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
    """What a run of tests came to, by test: those that passed, and those that failed in their own body."""

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


def run(tests: Iterable[str], tree: Path, *options: str) -> Report:
    """Run tests in a worktree."""
    with tempfile.NamedTemporaryFile(suffix=".xml") as junit:
        command = [sys.executable, "-m", "pytest", "-q", "-m", "", f"--junit-xml={junit.name}", *options, *tests]
        environment = {**os.environ, "PYTHONPATH": str(tree), "PYTHONPYCACHEPREFIX": str(BYTECODE)}
        subprocess.run(command, cwd=tree, env=environment, check=False, capture_output=True)
        report = Path(junit.name).read_text()
    return parse(report) if report else Report(frozenset(), frozenset(), 1)


def parse(junit: str) -> Report:
    """Read a report in JUnit's XML."""
    passed, failed, errors = set(), set(), 0
    for case in ET.fromstring(junit).iter("testcase"):  # noqa: S314  (pytest's own)
        test = f"{case.get('classname')}::{case.get('name')}"
        kinds = {child.tag for child in case}
        errors += "error" in kinds
        if "failure" in kinds:
            failed.add(test)
        elif not kinds & {"error", "skipped"}:
            passed.add(test)
    return Report(frozenset(passed), frozenset(failed), errors)


def reported(test: str) -> re.Pattern[str]:
    """Match a test's name as JUnit's report has it; one without parameters stands for all that it has."""
    path, _, name = test.partition("::")
    pattern = re.escape(f"{path.removesuffix('.py').replace('/', '.')}::{name}")
    return re.compile(pattern if name.endswith("]") else rf"{pattern}(\[.*\])?")


def judge(mutant: Mutant, tree: Path, sound: frozenset[str]) -> Verdict:
    """Apply a mutant to a worktree, run its tests, and take it back; `sound` are the tests that pass without it."""
    for test in mutant.tests:
        if not any(reported(test).fullmatch(one) for one in sound):
            return Verdict.NO_TEST
    try:
        git("apply", str(mutant.path), cwd=tree)
    except subprocess.CalledProcessError as error:
        print(f"{mutant.path.name} does not apply:\n{error.stderr}", flush=True)
        return Verdict.BROKEN
    try:
        report = run(mutant.tests, tree, "--numprocesses=0", "--exitfirst")
    finally:
        git("checkout", "--quiet", "--force", ".", cwd=tree)
        git("clean", "--quiet", "--force", "-d", cwd=tree)
    if report.failed & sound:
        return Verdict.KILLED
    return Verdict.BROKEN if report.errors else Verdict.SURVIVED


def judge_all(mutants: Sequence[Mutant]) -> list[Verdict]:
    """Judge every mutant, a few side by side, and say so as they are done."""
    with worktree() as first, worktree() as second:
        tests = sorted({test for mutant in mutants for test in mutant.tests})
        sound = run(tests, first, f"--numprocesses={PROCESSES}").passed
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
