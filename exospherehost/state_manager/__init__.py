"""The client of the State Manager: submit clusters, watch executions, read their results.

    client = StateManagerClient(uri="http://localhost:8001")
    execution_id = await client.submit_cluster(cluster)
    async with client.watch_execution(execution_id) as stream:
        async for update in stream:
            print(update.status, update.progress)

`client` is what users call. `http` sends its requests, `pages` reads listings, `execution_logs` merges logs.
`watch` keeps a WebSocket open, and `execution_view` turns its messages into `updates`. `models` are the API's objects.
"""

from exospherehost.state_manager.client import StateManagerClient
from exospherehost.state_manager.errors import (
    Conflict,
    Fault,
    Gone,
    InvalidCluster,
    InvalidRequest,
    NotFound,
    ServerFailed,
    StateManagerError,
    Unauthorized,
    Unavailable,
)
from exospherehost.state_manager.models import Artifact, Execution, LogLine, Satellite, Secret, Signal
from exospherehost.state_manager.pages import Pages
from exospherehost.state_manager.updates import SatelliteUpdate, Update

__all__ = [
    "Artifact",
    "Conflict",
    "Execution",
    "Fault",
    "Gone",
    "InvalidCluster",
    "InvalidRequest",
    "LogLine",
    "NotFound",
    "Pages",
    "Satellite",
    "SatelliteUpdate",
    "Secret",
    "ServerFailed",
    "Signal",
    "StateManagerClient",
    "StateManagerError",
    "Unauthorized",
    "Unavailable",
    "Update",
]
