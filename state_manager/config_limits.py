"""The settings that limit what one request, cluster or satellite may take."""

from __future__ import annotations

from dataclasses import dataclass

from state_manager.setting import setting, whole


@dataclass(frozen=True, slots=True)
class LimitSettings:
    """The limits among the settings."""

    max_body_bytes: int = setting(
        "MAX_BODY_BYTES", "limits.max_body_bytes", str(16 * 2**20), whole(1), "largest request body, bytes"
    )
    max_output_bytes: int = setting(
        "MAX_OUTPUT_BYTES",
        "limits.max_output_bytes",
        str(2**20),
        whole(1),
        "largest output of a satellite, bytes of JSON",
    )
    max_input_bytes: int = setting(
        "MAX_INPUT_BYTES",
        "limits.max_input_bytes",
        str(64 * 2**20),
        whole(1, 512 * 2**20),
        "largest sum of the outputs of a satellite's dependencies, bytes of JSON",
    )
    max_expanded_satellites: int = setting(
        "MAX_EXPANDED_SATELLITES",
        "limits.max_expanded_satellites",
        "100000",
        whole(1),
        "most satellites in an execution, with those that fan-outs add",
    )
    max_satellites: int = setting(
        "MAX_SATELLITES", "limits.max_satellites", "10000", whole(1), "most satellites in a cluster"
    )
    max_edges: int = setting("MAX_EDGES", "limits.max_edges", "100000", whole(0), "most dependencies in a cluster")
    max_depth: int = setting("MAX_DEPTH", "limits.max_depth", "10000", whole(1), "longest path through a cluster")
