"""Gunicorn's settings, with a reason for each. It reads this file by itself where it is started in this directory."""

import resource
import signal
from typing import Any

# Each connection is an open file, and a shell often allows a thousand: past that nobody would be let in at all.
_, most = resource.getrlimit(resource.RLIMIT_NOFILE)
resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))

# A WebSocket is held for as long as something is watched: a greenlet each, where a thread each would be too much.
worker_class = "gevent"
worker_connections = 10_000

# Watchers are told to come back when this process stops, within a second; requests that are under way end sooner.
graceful_timeout = 2

# Nobody here talks to gunicorn but by signals.
control_socket_disable = True


def post_worker_init(worker: Any) -> None:
    """Have the watchers told, when this worker is asked to stop."""
    # Nothing of ours is imported here: what the master imports, gevent would come too late to patch.
    hub = worker.wsgi.extensions["state_manager"].hub
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGQUIT):
        stop = signal.getsignal(number)

        def close_first(*arguments: Any, stop: Any = stop) -> None:
            hub.closing = True
            stop(*arguments)

        signal.signal(number, close_first)
