"""`python run.py CLUSTER`: the whole system for as long as one cluster runs."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from http import HTTPStatus
from http.client import HTTPException
from pathlib import Path
from typing import TYPE_CHECKING, Any

from state_manager.local.serve import ready_line
from state_manager.local.supervisor import Interruption
from state_manager.local.system import CannotStart, Interrupted, call, running, say

if TYPE_CHECKING:
    from state_manager.config import Settings
    from state_manager.local.supervisor import Supervisor

POLL_S = 0.1
PAGE = 200
FINAL = ("completed", "failed", "cancelled")


@dataclass(frozen=True, slots=True)
class Patience:
    """Waits a moment, tends the parts meanwhile, and gives up at a signal."""

    supervisor: Supervisor
    interruption: Interruption

    def wait(self) -> None:
        """Wait; raises `Interrupted`."""
        if self.interruption.wait(POLL_S):
            raise Interrupted
        self.supervisor.tend()


def run_cluster(settings: Settings, cluster: Path) -> int:
    """Run one cluster, and print what came of it; gives the exit code, 0 if it completed."""
    try:
        document = cluster.read_bytes()
    except OSError as error:
        raise CannotStart(f"{cluster} cannot be read: {error.strerror}") from None
    media_type = "application/json" if cluster.suffix == ".json" else "application/yaml"
    settings = with_satellites_beside(settings, cluster)
    interruption = Interruption()
    try:
        with running(settings, interruption) as supervisor:
            say(ready_line(settings))
            status, answer = call(settings, "POST", "/executions", document, media_type)
            if status != HTTPStatus.CREATED:
                raise CannotStart(refusal(cluster, answer))
            path = f"/executions/{answer['execution_id']}"
            patience = Patience(supervisor, interruption)
            follow(settings, path, patience)
            while (final := ask(settings, path)) is None:
                patience.wait()
    except Interrupted:
        return 1
    print(json.dumps(final, indent=2, ensure_ascii=False))  # noqa: T201
    return 0 if final["status"] == "completed" else 1


def with_satellites_beside(settings: Settings, cluster: Path) -> Settings:
    """Add `examples/word_count.py` to the modules for `examples/word_count.yaml`, if importable from here."""
    module = cluster.absolute().with_suffix(".py")
    if not module.exists() or not module.is_relative_to(Path.cwd()):
        return settings
    name = ".".join(module.relative_to(Path.cwd()).with_suffix("").parts)
    return replace(settings, satellite_modules=tuple(dict.fromkeys((*settings.satellite_modules, name))))


def refusal(cluster: Path, answer: dict[str, Any]) -> str:
    """Write why the server refused the document, a line a fault."""
    faults = [f"  {fault['path']}: {fault['message']}" for fault in answer.get("errors") or ()]
    return "\n".join([f"{cluster} was refused:", *(faults or [f"  {answer.get('message')}"])])


def ask(settings: Settings, path: str) -> dict[str, Any] | None:
    """Ask for what is there, or None while the API is being started again."""
    try:
        status, answer = call(settings, "GET", path)
    except (OSError, HTTPException, ValueError):
        return None
    return answer if status == HTTPStatus.OK else None


def follow(settings: Settings, path: str, patience: Patience) -> None:
    """Show every event until the execution is over."""
    seq = 0
    while True:
        page = ask(settings, f"{path}/events?after={seq}&limit={PAGE}")
        events = page["items"] if page else []
        for event in events:
            seq = event["seq"]
            say(line(event))
            if event["satellite_id"] is None and event["status"] in FINAL:
                return
        if len(events) < PAGE:
            patience.wait()


def line(event: dict[str, Any]) -> str:
    """Write an event for a person."""
    return f"{event['at']}  {event['name'] or 'execution'}: {event['kind']} ({event['status']})"
