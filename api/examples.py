"""The example of the API's documentation, in both of the languages that a cluster is written in."""

from __future__ import annotations

from typing import Any

import yaml

from api.documents import JSON, YAML
from api.schemas import ClusterDocument

CLUSTER: dict[str, Any] = {
    "identifier": "my-project/greeting",
    "sla": "6h",
    "satellites": [
        {"name": "hello", "uses": "satellite/exospherehost/echo", "config": {"text": "hello"}},
        {
            "name": "world",
            "uses": "satellite/exospherehost/echo",
            "config": {"text": "world"},
            "dependencies": ["hello"],
        },
    ],
}

REQUEST_BODY: dict[str, Any] = {
    "required": True,
    "description": "A cluster, also inside a top-level `cluster`; JSON or YAML, the same document.",
    "content": {
        JSON: {"schema": ClusterDocument, "example": CLUSTER},
        YAML[0]: {"schema": ClusterDocument, "example": yaml.safe_dump(CLUSTER, sort_keys=False)},
    },
}
