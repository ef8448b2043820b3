"""The example of a fan-out with a group: a folder's texts, found at run time."""

from __future__ import annotations

from typing import TYPE_CHECKING

import yaml

from tests.processes import ROOT
from tests.system import fresh_system

if TYPE_CHECKING:
    from pathlib import Path


def test_texts_of_a_folder_are_found_and_counted(postgres: str, template: str, tmp_path: Path) -> None:
    for name, text in (("a.md", "one two two"), ("b.md", "two"), ("c.txt", "not counted")):
        (tmp_path / name).write_text(text)
    cluster = yaml.safe_load((ROOT / "examples" / "count_folder.yaml").read_text())
    cluster["inputs"]["folder"] = str(tmp_path)
    with fresh_system(postgres, template, SATELLITE_MODULES="examples.count_folder") as system:
        system.start_everything()
        status, answer = system.call("POST", "/executions", cluster)
        assert status == 201, answer
        execution = system.wait(answer["execution_id"])
    assert execution["status"] == "completed", execution
    assert execution["results"]["most-frequent"] == {"words": 4, "different": 2, "most": {"two": 3, "one": 1}}
    assert {one["name"] for one in execution["satellites"] if one["index"] == 1} == {
        "per-file[1]/read", "per-file[1]/count",
    }  # fmt: skip
