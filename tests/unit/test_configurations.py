"""A configuration is checked against its schema as far as it is known before its expressions have values."""

from __future__ import annotations

from typing import Any

import pytest

from state_manager.cluster import Satellite
from state_manager.configurations import configuration_faults
from state_manager.store.satellite_types import SatelliteType

SCHEMA = {
    "type": "object",
    "required": ["n"],
    "additionalProperties": False,
    "properties": {
        "n": {"type": "integer", "minimum": 1},
        "kind": {"enum": ["a", "b"]},
        "list": {"type": "array", "maxItems": 2, "items": {"type": "integer"}},
        "both": {"oneOf": [{"type": "object", "required": ["x"]}, {"type": "integer"}]},
    },
    "if": {"properties": {"kind": {"const": "a"}}, "required": ["kind"]},
    "then": {"required": ["list"]},
}


def found(config: dict[str, Any]) -> list[str]:
    types = {"type": SatelliteType("type", "queue", SCHEMA)}
    return sorted(
        fault.path for fault in configuration_faults([("satellites[0]", Satellite("s", "type", config))], types)
    )


@pytest.mark.parametrize(
    ("config", "paths"),
    [
        ({"n": 1}, []),
        ({"n": "x"}, [".n"]),
        ({"n": "${{ inputs.n }}"}, []),
        ({"n": "n${{ inputs.n }}"}, []),
        ({"n": ["${{ inputs.n }}"]}, [".n"]),
        ({"n": 0, "kind": "${{ inputs.k }}"}, [".n"]),
        ({"n": 1, "kind": "c"}, [".kind"]),
        ({"kind": "${{ inputs.k }}"}, [""]),
        ({"n": 1, "x": "${{ inputs.k }}"}, [""]),
        ({"n": 1, "list": ["${{ inputs.k }}", "x"]}, [".list[1]"]),
        ({"n": 1, "list": ["${{ inputs.k }}"] * 3}, [".list"]),
        ({"n": 1, "both": {"x": 1}}, []),
        ({"n": 1, "both": {"y": 1}}, [".both"]),
        ({"n": 1, "both": {"y": "${{ inputs.k }}"}}, []),
        ({"n": 1, "kind": "a"}, [""]),
        ({"n": 1, "kind": "${{ 'a' }}"}, []),
    ],
)
def test_faults_are_those_that_no_value_can_mend(config: dict[str, Any], paths: list[str]) -> None:
    assert found(config) == [f"satellites[0].config{path}" for path in paths]
