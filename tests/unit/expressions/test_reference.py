"""The examples in the reference of the cluster document have the values that stand there."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
import yaml

from state_manager.expressions.resolution import resolve

REFERENCE = (Path(__file__).parents[3] / "docs/reference/cluster.md").read_text()
EXPRESSIONS = REFERENCE.partition("\n## Expressions\n")[2]


def block(text: str, language: str) -> str:
    (found,) = re.findall(rf"^```{language}\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    return str(found)


SCOPE = json.loads(block(EXPRESSIONS, "json"))
EXAMPLES = [tuple(line.split("→")) for line in block(EXPRESSIONS, "text").splitlines()]


@pytest.mark.parametrize(("text", "value"), EXAMPLES)
def test_example_has_its_value(text: str, value: str) -> None:
    assert resolve(text.rstrip(), SCOPE, max_bytes=10_000) == json.loads(value)


def test_examples_in_yaml_are_read_as_they_stand() -> None:
    (satellite,) = yaml.safe_load(block(EXPRESSIONS, "yaml"))["satellites"]
    scope = {"inputs": SCOPE["satellites"]["list-files"]["output"]}
    assert resolve(satellite["config"], scope, max_bytes=10_000) == {
        "pairs": [{"at": one["uri"]} for one in scope["inputs"]["files"]],
        "large": ["s3://bucket/b.pdf"],
    }
