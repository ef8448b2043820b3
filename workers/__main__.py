"""Program for workers and beat: `python -m workers worker …` is `celery -A workers worker …`, started sooner.

Celery's own program imports all of its commands and those of its plugins first, Flower's among them: a third of a
second, and memory that each worker would keep. Use it for the pools gevent and eventlet all the same: it patches
Python for them.
"""

from __future__ import annotations

import sys

from celery.bin.base import CLIContext
from celery.bin.beat import beat
from celery.bin.worker import worker

from workers.app import app

COMMANDS = {"worker": worker, "beat": beat}


def main(name: str, *arguments: str) -> None:
    """Run one of Celery's commands with its own options."""
    context = CLIContext(app=app, no_color=False, workdir=None)
    COMMANDS[name].main(list(arguments), prog_name=f"python -m workers {name}", obj=context)


if __name__ == "__main__":
    main(*sys.argv[1:])
