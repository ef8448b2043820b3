"""Clients of the State Manager: submit clusters, watch them run, take what came of them.

    client = StateManagerClient(uri="http://localhost:8001")
    execution_id = await client.submit_cluster(cluster)
    async with client.watch_execution(execution_id) as stream:
        async for update in stream:
            print(update.status, update.progress)

`client` is what users call, over HTTP by `calls`; `watching` keeps a WebSocket open, `picture` makes updates of
what comes over it; `documents` and `updates` are what users are given, `errors` what is raised.
"""

from exospherehost.state_manager.calls import Pages
from exospherehost.state_manager.client import StateManagerClient
from exospherehost.state_manager.documents import Execution, LogLine, Satellite
from exospherehost.state_manager.errors import (
    Conflict,
    Fault,
    InvalidCluster,
    InvalidRequest,
    NotFound,
    ServerFailed,
    StateManagerError,
    Unauthorized,
    Unavailable,
)
from exospherehost.state_manager.updates import SatelliteUpdate, Update

__all__ = [
    "Conflict",
    "Execution",
    "Fault",
    "InvalidCluster",
    "InvalidRequest",
    "LogLine",
    "NotFound",
    "Pages",
    "Satellite",
    "SatelliteUpdate",
    "ServerFailed",
    "StateManagerClient",
    "StateManagerError",
    "Unauthorized",
    "Unavailable",
    "Update",
]
