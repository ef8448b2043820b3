"""`python run.py CLUSTER`: run the whole system until one cluster has ended."""

from __future__ import annotations

import asyncio
import math
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from exospherehost.command.display import display_on, follow, is_live
from exospherehost.state_manager import Execution, InvalidCluster, StateManagerClient
from local.addresses import host_and_port, reachable
from local.cluster_file import read_cluster, with_satellites_beside
from local.errors import CannotStart, Interrupted
from local.output import print_message
from local.result import as_json, short_result
from local.serve import ready_line
from local.stop_signal import StopSignal
from local.system import running_system

if TYPE_CHECKING:
    from local.supervisor import Supervisor
    from state_manager.config import Settings

CHECK_INTERVAL_S = 0.1


def run_cluster(settings: Settings, cluster: Path, *, full: bool) -> int:
    """Run one cluster, print the final execution as JSON, and return the exit code: 0 if it completed, else 1.

    `full` prints all of it, however long.
    """
    document = read_cluster(cluster)
    settings = with_satellites_beside(settings, cluster)
    stop_signal = StopSignal()
    logs = settings.home if is_live(sys.stderr) else None
    run = ClusterRun(settings, document)
    try:
        with running_system(settings, stop_signal, logs=logs) as supervisor:
            print_message(ready_line(settings))
            if logs:
                print_message(f"logs: {', '.join(str(logs / f'{part}.log') for part in ('worker', 'beat', 'api'))}")
            final = asyncio.run(supervise(run, supervisor, stop_signal))
    except Interrupted:
        print_message(what_is_left(settings, run.execution_id))
        return 1
    except InvalidCluster as error:
        raise CannotStart("\n  ".join([f"{cluster} was refused:", *str(error).splitlines()])) from None
    print(as_json(final if full else short_result(final)))  # noqa: T201
    return 0 if final.status == "completed" else 1


class ClusterRun:
    """The submission of a cluster, and its display to the end."""

    def __init__(self, settings: Settings, document: bytes) -> None:
        self.execution_id: str | None = None
        """The execution, once it is submitted."""
        self._uri = f"http://{host_and_port(reachable(settings.host), settings.port)}"
        self._document = document

    async def to_the_end(self) -> Execution:
        """Submit the cluster and display it; an API that dies meanwhile is waited for, since it is restarted."""
        async with StateManagerClient(self._uri, retry_for_s=math.inf) as client:
            self.execution_id = await client.submit_cluster(self._document)
            return await follow(client, self.execution_id, display_on(sys.stderr), submitted_just_now=True)


async def supervise(run: ClusterRun, supervisor: Supervisor, stop_signal: StopSignal) -> Execution:
    """Run the cluster while dead parts are restarted, in the main thread, which they belong to.

    Raises `Interrupted` after a stop signal.
    """
    task = asyncio.create_task(run.to_the_end())
    while not task.done():
        if stop_signal.received:
            task.cancel()
            await asyncio.wait({task})
            raise Interrupted
        supervisor.restart_dead_parts()
        await asyncio.wait({task}, timeout=CHECK_INTERVAL_S)
    return task.result()


def what_is_left(settings: Settings, execution_id: str | None) -> str:
    """Return a message about the execution that an interrupted run leaves behind."""
    if execution_id is None:
        return "stopped before the cluster was submitted"
    is_default = settings.home == Path.cwd() / ".exosphere"
    command = "python run.py" if is_default else f"EXOSPHERE_HOME={settings.home} python run.py"
    if settings.database_uri:
        command = "workers run on its database again"
    return (
        f"stopped before the end: execution {execution_id} is kept, and goes on with the next `{command}`;\n"
        f"  exosphere cancel {execution_id} ends it then"
    )
