"""`exosphere`: the client as a command. `arguments` reads the command line, `actions` does what it says."""

from exospherehost.command.actions import main

__all__ = ["main"]
