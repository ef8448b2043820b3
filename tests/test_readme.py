"""The documentation agrees with the code: its tables, diagrams, examples, links and commands are checked."""

from __future__ import annotations

import logging
import re
import tomllib
from importlib.util import find_spec
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from api import yaml_values
from api.app import create_app
from api.cluster_document import ClusterDocument, RetryPolicyDocument, SatelliteDocument
from exospherehost import Context, satellites
from state_manager.config import Settings
from state_manager.settings_table import readme_table
from state_manager.states import (
    EXECUTION_MOVES,
    SATELLITE_MOVES,
    ExecutionStatus,
    SatelliteStatus,
    SkipReason,
)
from state_manager.store.migrate import MIN_VERSION

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
REST = (ROOT / "docs/reference/rest.md").read_text(encoding="utf-8")
PAPERS = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").rglob("*.md"))]

each_paper = pytest.mark.parametrize("paper", PAPERS, ids=lambda paper: paper.relative_to(ROOT).as_posix())


@pytest.fixture
def fresh_registry(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep the satellites of examples out of what other tests find registered."""
    monkeypatch.setattr(satellites, "_registered", {})


def test_first_lines_are_the_two_commands() -> None:
    first = "\n".join(README.splitlines()[:10])
    assert "pip install -q uv && uv run python run.py" in first
    assert "uv run pytest" in first


def test_settings_table_is_that_of_the_configuration() -> None:
    assert readme_table() in README


def test_least_version_of_postgresql_is_that_of_the_migration() -> None:
    for paper in (README, (ROOT / "docs/how-to/scale-out.md").read_text()):
        assert f"PostgreSQL ({MIN_VERSION} or newer" in paper


def test_diagrams_show_every_move_and_no_other() -> None:
    of_executions, of_satellites = blocks(README, "mermaid")
    assert drawn(of_executions) == moves(EXECUTION_MOVES)
    assert drawn(of_satellites) == moves(SATELLITE_MOVES)


def test_every_state_and_reason_is_explained() -> None:
    of_executions, of_satellites = (rows(text) for text in reference("states").split("## Satellites"))
    assert of_executions == set(ExecutionStatus)
    assert of_satellites == {*SatelliteStatus, *SkipReason}


def test_every_kind_of_event_is_explained() -> None:
    written = "".join(path.read_text() for path in (ROOT / "state_manager/store/sql").glob("*.sql"))
    explained = rows(reference("events"))
    assert [kind for kind in explained if f"'{kind}'" not in written] == []
    assert set(SatelliteStatus) - {"pending", "running"} <= explained


def test_every_field_of_the_document_is_explained() -> None:
    cluster, satellite, policy = reference("cluster").partition("\n## Limits")[0].split("\n## ")[1:]
    assert rows(cluster) == set(ClusterDocument().fields)
    assert rows(satellite) == set(SatelliteDocument().fields)
    assert rows(policy) == set(RetryPolicyDocument().fields)


@pytest.mark.parametrize("where", [README, REST], ids=["README", "reference"])
def test_every_route_is_in_the_tables_and_nothing_else(where: str) -> None:
    app = create_app(Settings(database_uri="postgresql://nowhere/nothing"))
    shown = {
        f"{'WS' if rule.websocket else method} {re.sub('<[^>]*>', parameter, rule.rule)}"
        for rule in app.url_map.iter_rules()
        for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}
        if not rule.rule.startswith(("/docs", "/openapi.json"))
    }
    assert {row for row in rows(where) if row.startswith(("GET ", "POST ", "PUT ", "DELETE ", "WS "))} == shown
    assert "`GET /openapi.json`" in where
    assert "`GET /docs`" in where


def test_every_library_has_its_reason() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    wanted = {
        re.split(r"[\[><=!~ ]", needed)[0]
        for needed in chain(
            project["project"]["dependencies"],
            *project["project"]["optional-dependencies"].values(),
            *project["dependency-groups"].values(),
        )
    }
    table = (ROOT / "CONTRIBUTING.md").read_text().partition("## Libraries")[2]
    named = {name for row in re.findall(r"^\| ([a-z][^|]*) \|", table, re.MULTILINE) for name in row.split(", ")}
    assert named - {"library"} == wanted


def test_modules_of_the_architecture_are_there() -> None:
    table = (ROOT / "CONTRIBUTING.md").read_text().partition("| folder | purpose |")[2].partition("\n\n")[0]
    folders = re.findall(r"^\| `([\w/]+)/` \| (.*) \|", table, re.MULTILINE)
    assert len(folders) == 21
    for folder, purpose in folders:
        there = {path.stem for path in (ROOT / folder).iterdir() if path.is_dir() or path.suffix == ".py"}
        assert set(re.findall(r"`([a-z_]+)`", purpose)) <= there, folder


@each_paper
def test_python_in_the_papers_runs(paper: Path, fresh_registry: None) -> None:
    for text in blocks(paper.read_text(encoding="utf-8"), "python"):
        run(text, paper)


def test_satellite_of_the_readme_counts_words(fresh_registry: None) -> None:
    for text in blocks(README, "python"):
        run(text, ROOT / "README.md")
    found = satellites.registered()["satellite/my-project/word-count"]
    assert found.function(context({"fetch": {"text": "to be or not to be"}})) == {"words": 6}


def test_satellites_of_the_tutorial_read_and_count(fresh_registry: None, tmp_path: Path) -> None:
    paper = ROOT / "docs/tutorial.md"
    for text in blocks(paper.read_text(encoding="utf-8"), "python"):
        run(text, paper)
    (tmp_path / "poem.txt").write_text("so much depends upon a red wheel barrow")
    read, count = (satellites.registered()[f"satellite/my-project/{name}"] for name in ("read", "count"))
    poem = read.function(context({}, path=str(tmp_path / "poem.txt")))
    assert count.function(context({"poem": poem})) == {"poem": 8}


@each_paper
def test_clusters_in_the_papers_are_sound(paper: Path) -> None:
    for text in blocks(paper.read_text(encoding="utf-8"), "yaml"):
        ClusterDocument().load(yaml_values.load(text, 100_000))


@each_paper
def test_links_lead_somewhere(paper: Path) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", paper.read_text(encoding="utf-8")):
        path, _, anchor = target.partition("#")
        if target.startswith("https://"):
            continue
        linked = paper.parent / path if path else paper
        assert linked.exists(), target
        assert not anchor or anchor in anchors(linked.read_text(encoding="utf-8")), target


@each_paper
def test_commands_name_what_is_there(paper: Path) -> None:
    shell = "\n".join(
        text for language in ("bash", "console") for text in blocks(paper.read_text(encoding="utf-8"), language)
    )
    targets = re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert set(re.findall(r"^make ([a-z]+)", shell, re.MULTILINE)) <= set(targets)
    for module in re.findall(r"python -m ([\w.]+)", shell):
        assert find_spec(module), module
    for path in re.findall(r"(?<=\s)((?:examples|tests|benchmarks|scripts)/[\w./-]*)", shell):
        assert (ROOT / path).exists(), path


@each_paper
def test_folders_and_files_named_are_there(paper: Path) -> None:
    named = re.findall(
        r"`((?:api|exospherehost|state_manager|workers|tests|docs|examples|benchmarks)/[\w./-]*)`",
        paper.read_text("utf-8"),
    )
    assert not [path for path in named if not (ROOT / path).exists()]


def test_every_decision_is_listed_by_its_number_and_title() -> None:
    listed = (ROOT / "docs/decisions/README.md").read_text("utf-8")
    pages = sorted((ROOT / "docs/decisions").glob("0*.md"))
    assert [int(page.name[:4]) for page in pages] == list(range(1, len(pages) + 1))
    titles = [page.read_text("utf-8").splitlines()[0].removeprefix("# ") for page in pages]
    assert re.findall(r"^(\d+\. )\[(.*)\]\((.*)\)$", listed, re.MULTILINE) == [
        (f"{number}. ", title.partition(". ")[2], page.name)
        for number, (title, page) in enumerate(zip(titles, pages, strict=True), start=1)
    ]


def parameter(part: re.Match[str]) -> str:
    """Write a part of a route's path as the tables do: `<uuid:execution_id>` is ID, `<name>` is NAME."""
    name = part[0].strip("<>").rpartition(":")[2]
    return "ID" if name.endswith("_id") else name.upper()


def blocks(text: str, language: str) -> list[str]:
    """Take the fenced blocks of a language out of a paper."""
    return re.findall(rf"^```{language}\n(.*?)^```", text, re.MULTILINE | re.DOTALL)


def drawn(diagram: str) -> set[tuple[str, str]]:
    return set(re.findall(r"^\s*(\w+) --> (\w+)", diagram, re.MULTILINE))


def moves(table: Mapping[Any, Iterable[Any]]) -> set[tuple[str, str]]:
    return {(str(state), str(to)) for state, leads_to in table.items() for to in leads_to}


def reference(name: str) -> str:
    return (ROOT / f"docs/reference/{name}.md").read_text(encoding="utf-8")


def rows(text: str) -> set[str]:
    """Name what the first column of the tables names."""
    cells = re.findall(r"^\| (`[^|]*`) \|", text, re.MULTILINE)
    return {name for cell in cells for name in re.findall(r"`([^`]*)`", cell)}


def anchors(text: str) -> Iterator[str]:
    for heading in re.findall(r"^#+ (.*)$", text, re.MULTILINE):
        yield re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-")


def run(text: str, paper: Path) -> None:
    exec(compile(text, str(paper), "exec"), {"__name__": f"example_of_{paper.stem}"})  # noqa: S102  (our own papers)


def context(given: dict[str, Any], **config: Any) -> Context:
    return Context(
        config=config,
        input=given,
        execution_id="e",
        satellite_id="s",
        name="n",
        attempt=1,
        log=logging.getLogger("example"),
        cancelled=lambda: False,
    )
