"""Send probes through the queues, to find satellites whose messages are lost (`store/sql/probes.sql`)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from state_manager.store import probes

if TYPE_CHECKING:
    from state_manager.maintenance.services import Services


def run_once(services: Services) -> int:
    """Send the probes that are due; return how many that was."""
    due = probes.due_probes(services.engine)
    for queue, sent_at in due:
        services.dispatcher.send_probe(queue, sent_at)
    return len(due)
