"""`python run.py CLUSTER`: the whole system for as long as one cluster runs."""

from __future__ import annotations

import asyncio
import json
import math
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from exospherehost.command.display import display_on, follow, is_live
from exospherehost.state_manager import Execution, InvalidCluster, StateManagerClient
from local.serve import ready_line
from local.supervisor import Interruption
from local.system import CannotStart, Interrupted, address, running, say

if TYPE_CHECKING:
    from collections.abc import Coroutine

    from local.supervisor import Supervisor
    from state_manager.config import Settings

TEND_S = 0.1


def run_cluster(settings: Settings, cluster: Path) -> int:
    """Run one cluster, and print what came of it; gives the exit code, 0 if it completed."""
    try:
        document = cluster.read_bytes()
    except OSError as error:
        raise CannotStart(f"{cluster} cannot be read: {error.strerror}") from None
    settings = with_satellites_beside(settings, cluster)
    interruption = Interruption()
    logs = settings.home if is_live(sys.stderr) else None
    try:
        with running(settings, interruption, logs=logs) as supervisor:
            say(ready_line(settings))
            if logs:
                say(f"logs: {', '.join(str(logs / f'{part}.log') for part in ('worker', 'beat', 'api'))}")
            final = asyncio.run(tended(run(settings, document), supervisor, interruption))
    except Interrupted:
        return 1
    except InvalidCluster as error:
        raise CannotStart("\n  ".join([f"{cluster} was refused:", *str(error).splitlines()])) from None
    print(json.dumps(final, indent=2, ensure_ascii=False))  # noqa: T201
    return 0 if final.status == "completed" else 1


def with_satellites_beside(settings: Settings, cluster: Path) -> Settings:
    """Add `examples/word_count.py` to the modules for `examples/word_count.yaml`, if importable from here."""
    module = cluster.absolute().with_suffix(".py")
    if not module.exists() or not module.is_relative_to(Path.cwd()):
        return settings
    name = ".".join(module.relative_to(Path.cwd()).with_suffix("").parts)
    return replace(settings, satellite_modules=tuple(dict.fromkeys((*settings.satellite_modules, name))))


async def run(settings: Settings, document: bytes) -> Execution:
    """Submit a cluster and show it to its end; an API that dies meanwhile is waited for, since it is started again."""
    async with StateManagerClient(address(settings), retry_for_s=math.inf) as client:
        execution_id = await client.submit_cluster(document)
        return await follow(client, execution_id, display_on(sys.stderr), submitted_just_now=True)


async def tended(
    work: Coroutine[None, None, Execution], supervisor: Supervisor, interruption: Interruption
) -> Execution:
    """Do it while the parts are tended; raises `Interrupted`. In the main thread, to which the parts belong."""
    task = asyncio.create_task(work)
    while not task.done():
        if interruption.came:
            task.cancel()
            await asyncio.wait({task})
            raise Interrupted
        supervisor.tend()
        await asyncio.wait({task}, timeout=TEND_S)
    return task.result()
